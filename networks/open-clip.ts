import type { NdArray } from '../core/ndarray.js';
import type { StoredTensors } from './weights.js';

/** transformers' keys for open_clip's, by beginning or as a whole. The order matters: what is longer comes first. */
const names: readonly (readonly [RegExp, string])[] = [
  [/^visual\.transformer\.resblocks\.(\d+)\./, 'vision_model.encoder.layers.$1.'],
  [/^visual\.conv1\.weight$/, 'vision_model.embeddings.patch_embedding.weight'],
  [/^visual\.class_embedding$/, 'vision_model.embeddings.class_embedding'],
  [/^visual\.positional_embedding$/, 'vision_model.embeddings.position_embedding.weight'],
  [/^visual\.ln_pre\./, 'vision_model.pre_layrnorm.'],
  [/^visual\.ln_post\./, 'vision_model.post_layernorm.'],
  [/^visual\.proj$/, 'visual_projection.weight'],
  [/^transformer\.resblocks\.(\d+)\./, 'text_model.encoder.layers.$1.'],
  [/^token_embedding\.weight$/, 'text_model.embeddings.token_embedding.weight'],
  [/^positional_embedding$/, 'text_model.embeddings.position_embedding.weight'],
  [/^ln_final\./, 'text_model.final_layer_norm.'],
  [/^text_projection$/, 'text_projection.weight'],
];

const layerNames: readonly (readonly [RegExp, string])[] = [
  [/\.ln_1\./, '.layer_norm1.'],
  [/\.ln_2\./, '.layer_norm2.'],
  [/\.attn\.out_proj\./, '.self_attn.out_proj.'],
  [/\.mlp\.c_fc\./, '.mlp.fc1.'],
  [/\.mlp\.c_proj\./, '.mlp.fc2.'],
];

/** [rows, columns] with rows and columns exchanged. */
function transposed({ data, shape: [rows, columns] }: NdArray): NdArray {
  const out = data.slice();
  for (let i = 0; i < rows!; i++) for (let j = 0; j < columns!; j++) out[j * rows! + i] = data[i * columns! + j]!;
  return { data: out, shape: [columns!, rows!] };
}

/** Where a tensor of transformers lies in a file of open_clip. */
interface Place {
  readonly key: string;
  /** Which third of a joined matrix: queries, keys or values. */
  readonly third?: number;
  readonly transposed?: boolean;
}

/**
 * The tensors of open_clip's CLIP by transformers' keys: there the projections are matrices on the right, and queries,
 * keys and values are one matrix. Any other tensors are given back as they are.
 */
export function fromOpenClip(state: StoredTensors): StoredTensors {
  const keys = [...state.keys()];
  if (!keys.includes('visual.conv1.weight')) return state;
  const places = new Map<string, Place>();
  const rename = (name: string, table: typeof names) =>
    table.reduce((at, [pattern, to]) => at.replace(pattern, to), name);
  for (const key of keys) {
    if (key === 'attn_mask') continue;
    const name = rename(rename(key, names), layerNames);
    const joined = /^(.*)\.attn\.in_proj_(weight|bias)$/.exec(name);
    if (joined)
      ['q_proj', 'k_proj', 'v_proj'].forEach((part, third) => {
        places.set(`${joined[1]}.self_attn.${part}.${joined[2]}`, { key, third });
      });
    else places.set(name, { key, transposed: key === 'visual.proj' || key === 'text_projection' });
  }
  return {
    keys: () => places.keys(),
    get: (name) => {
      const place = places.get(name);
      const value = place && state.get(place.key);
      if (!value) return undefined;
      if (place.third === undefined) return place.transposed ? transposed(value) : value;
      const [rows, ...rest] = value.shape as [number, ...number[]];
      const size = value.data.length / 3;
      return { data: value.data.subarray(place.third * size, (place.third + 1) * size), shape: [rows / 3, ...rest] };
    },
  };
}
