import { GymError, messageOf } from '../../core/errors.js';
import { shown } from '../../core/shown.js';
import type { Awaitable } from '../../core/types.js';
import { importUserModule } from '../../core/user-module.js';
import { checkEnvironment, snapshotNumbers } from '../../envs/checks.js';
import { SyncVectorEnv } from '../../envs/sync-vector-env.js';
import type { VectorEnv } from '../../envs/vector-env.js';
import { type RunningMeanStd, stepModification, wrap } from '../../envs/wrappers/index.js';
import { ownReturn } from '../collect/episode.js';
import type { WrapperStep } from './parse.js';
import type { AnyEnv, AnyModification, AnyNormalization } from './registry.js';

export type AnyVectorEnv = VectorEnv<unknown, unknown>;

/** A normalisation and the name by which configurations call it. */
export interface NamedNormalization {
  readonly name: string;
  readonly normalization: AnyNormalization;
}

/** Statistics that normalisations take over and leave as they are, by the number of their step. */
export type FrozenStatistics = ReadonlyMap<
  number,
  { readonly normalization: { readonly statistics: RunningMeanStd | undefined } }
>;

/** One wrapper, ready to be put around environments. */
interface Layer {
  readonly name: string;
  /** Where it may go: around single environments only, around the vector only, or around either. */
  readonly place: 'single' | 'vector' | 'either';
  /** Whether it is a function of the user's own, which is handed single environments where that is possible. */
  readonly own?: boolean;
  /** Whether the present use of the environments leaves it out. */
  readonly leftOut?: boolean;
  single?(env: AnyEnv, index: number): Awaitable<AnyEnv>;
  vector?(env: AnyVectorEnv): Awaitable<AnyVectorEnv>;
}

/**
 * The wrappers of a run, for one of its vector environments.
 *
 * What stands before the first normalisation goes around each single environment, if any of it must; the normalisation,
 * whose statistics the environments share, and what stands after it go around the vector.
 */
export class WrapperStack {
  readonly #layers: readonly Layer[];
  /** By the number of the step. */
  readonly #normalizations: ReadonlyMap<number, NamedNormalization>;

  private constructor(layers: readonly Layer[], normalizations: ReadonlyMap<number, NamedNormalization>) {
    this.#layers = layers;
    this.#normalizations = normalizations;
  }

  /**
   * Loads the files that the steps name.
   * @param training given: the stack is for an evaluation beside this one, which was put around its environment before, or
   *   has the statistics of a training otherwise. It normalises observations by the training's statistics and does not
   *   change these; it neither normalises rewards nor clips what was normalised, so that rewards are the environment's
   *   own; and it records no videos.
   * @throws GymError E_FILE or E_NAME where a file cannot be loaded, E_CONFIG where it exports no wrapper.
   */
  static async of(
    steps: readonly WrapperStep[],
    training?: { readonly normalizations: FrozenStatistics },
  ): Promise<WrapperStack> {
    const layers: Layer[] = [];
    const normalizations = new Map<number, NamedNormalization>();
    let rewardsAreNormalized = false;
    for (const [i, step] of steps.entries()) {
      if ('file' in step) {
        layers.push(await ownLayer(step.file, step.options));
        continue;
      }
      const { name, maker, leftOut } = step.wrapper;
      const isOut =
        training !== undefined &&
        (leftOut === 'in evaluation' || (leftOut === 'after normalizeReward' && rewardsAreNormalized));
      if (maker.kind === 'single') {
        const single = (env: AnyEnv, index: number) => maker.make(step.options, index)(env);
        layers.push({ name, place: 'single', leftOut: isOut, single });
        continue;
      }
      if (maker.kind === 'any') {
        layers.push({ ...modificationLayer(name, maker.make(step.options)), leftOut: isOut });
        continue;
      }
      const statistics = training?.normalizations.get(i)?.normalization.statistics;
      const normalization = maker.make({ ...step.options, statistics });
      if (training !== undefined) normalization.updating = false;
      if (name === 'normalizeReward' && !rewardsAreNormalized) {
        rewardsAreNormalized = true;
        // What people read of episodes is what they earned before their rewards were normalised.
        layers.push({ ...modificationLayer(name, recordReturn()), place: 'vector', leftOut: isOut });
      }
      layers.push({ ...modificationLayer(name, normalization), place: 'vector', leftOut: isOut });
      normalizations.set(i, { name, normalization });
    }
    return new WrapperStack(layers, normalizations);
  }

  /** The normalisations, by the number of their step. */
  get normalizations(): ReadonlyMap<number, NamedNormalization> {
    return this.#normalizations;
  }

  /**
   * Puts the wrappers around a vector environment.
   * @throws GymError E_CONFIG where one cannot go where it stands; E_SPACE and others as the wrappers say.
   */
  async around(env: AnyVectorEnv): Promise<AnyVectorEnv> {
    const layers = this.#layers;
    const shared = layers.findIndex(({ place }) => place === 'vector');
    const before = shared < 0 ? layers : layers.slice(0, shared);
    const wanted = before.some(({ place, own }) => place === 'single' || own);
    const split = wanted && env instanceof SyncVectorEnv ? before.length : 0;
    const late = layers.slice(split).find(({ place }) => place === 'single');
    if (late !== undefined)
      throw new GymError(
        'E_CONFIG',
        env instanceof SyncVectorEnv
          ? `wrappers: \`${late.name}\` goes around single environments, and stands after \`${layers[shared]!.name}\`, whose statistics all environments share; put it before.`
          : `wrappers: \`${late.name}\` goes around single environments, and ${env} is natively a vector environment (threads among them), which has none; leave it out, or put it around the environment in the module that registers it.`,
      );
    let result = env;
    if (env instanceof SyncVectorEnv && split > 0) {
      const singles: AnyEnv[] = [];
      for (const [index, single] of (env.envs as readonly AnyEnv[]).entries()) {
        let wrapped = single;
        for (const layer of layers.slice(0, split)) if (!layer.leftOut) wrapped = await layer.single!(wrapped, index);
        singles.push(wrapped);
      }
      result = new SyncVectorEnv(singles, { autoreset: env.autoreset });
    }
    for (const layer of layers.slice(split)) if (!layer.leftOut) result = await layer.vector!(result);
    return result;
  }
}

/** Says at the end of each episode what it has earned so far, before what stands around it changes rewards. */
function recordReturn(): AnyModification {
  return stepModification('RecordReturn', () => () => {
    let earned = 0;
    return {
      first: (result) => {
        earned = 0;
        return result;
      },
      next: (result) => {
        earned += result.reward;
        if (!result.terminated && !result.truncated) return result;
        return { ...result, info: { ...result.info, [ownReturn]: earned } };
      },
      state: () => earned,
      restore: (state, result) => {
        earned = snapshotNumbers('RecordReturn', [state], 1)[0]!;
        return result;
      },
    };
  });
}

function modificationLayer(name: string, modification: AnyModification): Layer {
  return {
    name,
    place: 'either',
    single: (env) => wrap(env, modification),
    vector: (env) => wrap(env, modification),
  };
}

/** A wrapper of the user's own: its file's default export, called with the options, gives a function of environments. */
async function ownLayer(file: string, options: unknown): Promise<Layer> {
  const place = `wrapper ${file}`;
  const how = 'write `export default (options) => (env) => wrap(env, ...)`';
  const { default: make } = await importUserModule(file, 'wrapper');
  if (typeof make !== 'function')
    throw new GymError('E_CONFIG', `${place}: its default export is ${shown(make)}, no function; ${how}.`);
  const called = async <T>(call: () => Awaitable<T>): Promise<T> => {
    try {
      return await call();
    } catch (error) {
      if (GymError.is(error)) throw new GymError(error.code, `${place}: ${error.message}`, { cause: error });
      throw new GymError('E_CONFIG', `${place}: ${messageOf(error)}`, { cause: error });
    }
  };
  const made = await called(() => make(options) as unknown);
  if (typeof made !== 'function')
    throw new GymError('E_CONFIG', `${place}: called with its options it gives ${shown(made)}, no function; ${how}.`);
  return {
    name: file,
    place: 'either',
    own: true,
    single: async (env) => {
      const wrapped = await called(() => made(env) as AnyEnv);
      checkEnvironment(`${place}: what it returns`, wrapped);
      return wrapped;
    },
    vector: async (env) => {
      const wrapped = await called(() => made(env) as AnyVectorEnv);
      checkEnvironment(`${place}: what it returns`, wrapped);
      if (wrapped.numEnvs !== env.numEnvs)
        throw new GymError(
          'E_CONFIG',
          `${place}: it was handed ${env}, a vector of ${env.numEnvs} environments, and returned none of that size. Return \`wrap(env, ...)\`, which works for both, or put it before the first normalisation: there it is handed single environments.`,
        );
      return wrapped;
    },
  };
}
