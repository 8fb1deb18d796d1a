import { bytes, type Encoded, float32, float64, message, uint } from './protobuf.js';

// TensorBoard's messages: event.proto, summary.proto and tensor.proto of TensorFlow, and those of TensorBoard's plugins
// `text` and `hparams`. The numbers are those of the fields.

/** `Event`. @param seconds since 1970. */
const event = (seconds: number, step: number, what: Encoded) => message(float64(1, seconds), uint(2, step), what);

/** The first event of a file: the version of what follows. */
export function versionEvent(seconds: number): Encoded {
  return event(seconds, 0, bytes(3, 'brain.Event:2'));
}

/** Says that a run goes on: what earlier files hold of this step and of later ones is void. */
export function startEvent(seconds: number, step: number): Encoded {
  const START = 1;
  return event(seconds, step, bytes(7, uint(1, START)));
}

/** An event with summaries, as {@link scalar}, {@link picture}, {@link text} and {@link hyperparameters} make them. */
export function summaryEvent(seconds: number, step: number, values: readonly Encoded[]): Encoded {
  return event(seconds, step, bytes(5, message(...values.map((value) => bytes(1, value)))));
}

/** A number, kept in single precision. */
export function scalar(tag: string, value: number): Encoded {
  return message(bytes(1, tag), float32(2, value));
}

/** A PNG. */
export function picture(tag: string, png: Uint8Array, width: number, height: number): Encoded {
  const RGB = 3;
  return message(bytes(1, tag), bytes(4, message(uint(1, height), uint(2, width), uint(3, RGB), bytes(4, png))));
}

const metadata = (plugin: string, content: Encoded) => bytes(9, bytes(1, message(bytes(1, plugin), bytes(2, content))));

/** Text, which TensorBoard shows as Markdown. */
export function text(tag: string, markdown: string): Encoded {
  const DT_STRING = 7;
  const shape = bytes(2, bytes(2, uint(1, 1)));
  const tensor = message(uint(1, DT_STRING), shape, bytes(8, markdown));
  return message(bytes(1, `${tag}/text_summary`), metadata('text', new Uint8Array()), bytes(8, tensor));
}

/** A tensor without entries, where a plugin keeps all that it has to say in its metadata. */
function emptyTensor(): Encoded {
  const DT_FLOAT = 1;
  return bytes(8, message(uint(1, DT_FLOAT), bytes(2, bytes(2, uint(1, 0)))));
}

function structValue(value: number | string | boolean): Encoded {
  if (typeof value === 'number') return float64(2, value);
  return typeof value === 'string' ? bytes(3, value) : uint(4, Number(value));
}

/** What a run was started with, for the tab HPARAMS. */
export function hyperparameters(values: Readonly<Record<string, number | string | boolean>>, seconds: number): Encoded {
  const entries = Object.entries(values).map(([name, value]) =>
    bytes(1, message(bytes(1, name), bytes(2, structValue(value)))),
  );
  const content = bytes(3, message(...entries, float64(5, seconds)));
  return message(bytes(1, '_hparams_/session_start_info'), metadata('hparams', content), emptyTensor());
}

/** How the run ended, for the tab HPARAMS. */
export function sessionEnd(seconds: number): Encoded {
  const SUCCESS = 1;
  const content = bytes(4, message(uint(1, SUCCESS), float64(2, seconds)));
  return message(bytes(1, '_hparams_/session_end_info'), metadata('hparams', content), emptyTensor());
}
