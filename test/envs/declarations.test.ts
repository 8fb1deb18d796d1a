import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import ts from 'typescript';
import { afterAll, beforeAll, expect, it } from 'vitest';

const options: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
  types: ['node'],
  typeRoots: [resolve('node_modules/@types')],
  noEmit: true,
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noImplicitOverride: true,
  noPropertyAccessFromIndexSignature: true,
  skipLibCheck: false,
};

/** A program of a user's: what is optional may be undefined. */
const right = `
import {
  Box, CartPole, Denoising, Dict, Discrete, type Env, frameStackObservation, Graph, listEnvironments, make, makeVec,
  type Modification, OneOf, RecordVideo, register, type Registration, type ResetOptions, Sequence, SyncVectorEnv, Text,
  timeAwareObservation, TimeLimit, Tuple, type VectorEnv, wrap,
} from 'denoise-gym/envs';

type Vector = ReturnType<Box['sample']>;

export class Thermostat implements Env<Vector, number> {
  readonly observationSpace = new Box(0, 1, [1]);
  readonly actionSpace = new Discrete(2);
  #temperature = 0;
  reset({ seed = 0, options }: ResetOptions = {}) {
    this.#temperature = seed + Number(options?.['warm'] ?? 0);
    return { observation: { data: Float32Array.of(this.#temperature), shape: [1] }, info: {} };
  }
  step(action: number) {
    this.#temperature += action;
    const observation = { data: Float32Array.of(this.#temperature), shape: [1] };
    return { observation, reward: 1, terminated: false, truncated: false, info: {} };
  }
}
declare module 'denoise-gym/envs' {
  interface KnownEnvs {
    'Thermostat-v0': { env: Thermostat; options: { warm?: number | undefined } };
  }
}
declare const maybe: number | undefined;
const limit: Pick<Registration, 'maxEpisodeSteps' | 'rewardThreshold'> = { maxEpisodeSteps: maybe, rewardThreshold: maybe };
register({ id: 'Thermostat-v0', description: 'keeps warm', ...limit, create: () => new Thermostat() });

const own: Env<Vector, number> = await make('Thermostat-v0', { warm: maybe }, { maxEpisodeSteps: maybe });
await own.reset({ seed: maybe, options: undefined });
const pole: Env<Vector, number> = await make('CartPole-v1', { random: undefined, suttonBartoReward: undefined });
const vector: VectorEnv<Vector, number> = await makeVec('CartPole-v1', 2, {}, { autoreset: undefined });
await vector.reset({ seed: [1, maybe], mask: undefined });
const denoising: Denoising = await makeVec('Denoising-v0', 2, {
  timesteps: [1], latentShape: [2, 2, 3], prompts: ['a'], reward: () => [0, 0], seed: maybe, decode: undefined,
});
const stacked: Env<Vector, number> = wrap(new Thermostat(), frameStackObservation(4, { padding: undefined }));
const timed = wrap(new TimeLimit(new Thermostat(), 3), timeAwareObservation({ key: undefined, maxEpisodeSteps: maybe }));
const sync = new SyncVectorEnv([new Thermostat()], { autoreset: undefined });
const video = new RecordVideo(new CartPole({ render: undefined }), 'videos', { fps: maybe, step: undefined });
const none: Pick<Modification<Vector, number, Vector, number>, 'settings'> = { settings: undefined };

const graph = new Graph(new Box(0, 1, [2]), new Discrete(3)).sample({ numNodes: maybe, mask: [undefined, [1, 0, 1]] });
const edges: readonly number[] | null = graph.edges;
const list: number[] = new Sequence(new Discrete(2)).sample({ mask: [maybe, undefined] });
const either = new OneOf([new Discrete(2), new Text(2, { minLength: maybe, charset: undefined })]).sample();
const pair: readonly [number, string] = new Tuple([new Discrete(2), new Text(2)]).sample({ mask: undefined });
const { gear }: { gear: number } = new Dict({ gear: new Discrete(2) }, { sortKeys: undefined }).sample();
const names: string[] = listEnvironments().map(({ name }) => name);
export const all = { own, pole, vector, denoising, stacked, timed, sync, video, none, edges, list, either, pair, gear, names };
`;
/** Another one, with a mistake in its second line: the ids are known. */
const wrong = `import { make } from 'denoise-gym/envs';
await make('CartPole-v1', { rendr: 'rgb' });
`;

/** A user's project, in which the declarations of `denoise-gym/envs` lie as they do in the package. */
let project: string;
/** What TypeScript, set as strictly as it goes, says of each file of the project and of the package. */
const told = new Map<string, string[]>();

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'declarations-'));
  const copy = join(project, 'node_modules/denoise-gym');
  await mkdir(copy, { recursive: true });
  // What a project gets with the package, and what it brings itself.
  for (const name of ['@types', 'zod'])
    await symlink(resolve('node_modules', name), join(project, 'node_modules', name));
  await writeFile(join(project, 'package.json'), '{ "type": "module" }');
  await writeFile(
    join(copy, 'package.json'),
    JSON.stringify({ name: 'denoise-gym', type: 'module', exports: { './envs': { types: './envs/index.d.ts' } } }),
  );
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile);
  const own = ts.parseJsonConfigFileContent({ ...config, include: [] }, ts.sys, resolve('.')).options;
  const emitting = { ...own, noEmit: false, emitDeclarationOnly: true, outDir: copy, rootDir: resolve('.') };
  ts.createProgram([resolve('envs/index.ts')], emitting).emit();
  const programs = { 'right.ts': right, 'wrong.ts': wrong };
  for (const [name, code] of Object.entries(programs)) await writeFile(join(project, name), code);
  const roots = Object.keys(programs).map((name) => join(project, name));
  for (const { file, start = 0, messageText } of ts.getPreEmitDiagnostics(ts.createProgram(roots, options))) {
    const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line + 1;
    const place = file?.fileName.slice(project.length + 1) ?? 'project';
    told.set(place, [...(told.get(place) ?? []), `${line}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`]);
  }
}, 120_000);
afterAll(() => rm(project, { recursive: true, force: true }));

it('the declarations are right by themselves, where a project checks those of its packages', () => {
  expect([...told].filter(([place]) => place.startsWith('node_modules/'))).toEqual([]);
  expect(told.get('project')).toBe(undefined);
});

it("a user's program is typed by them, and a mistake in one is found", () => {
  expect(told.get('right.ts')).toBe(undefined);
  expect(told.get('wrong.ts')).toEqual([expect.stringMatching(/^2: .*'rendr'/)]);
});
