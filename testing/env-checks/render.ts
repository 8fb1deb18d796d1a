import { isNdArray, sizeOf } from '../../core/ndarray.js';
import type { Report } from '../findings.js';
import { shared, show } from '../values.js';
import { reportUnlike } from './determinism.js';
import type { EnvCheck } from './trial.js';

export const renderCheck: EnvCheck = {
  name: 'render',
  title: 'renders pictures or texts, and changes nothing by it',
  needs: ['observation', 'determinism'],
  async run({ driver, report }) {
    if (!driver.env.render) return;
    const drawn: unknown[][] = [];
    const draw = async () => {
      const pictures = await driver.pictures();
      for (const [where, picture] of pictures) needPicture(report, where, picture);
      drawn.push(pictures.map(([, picture]) => picture).filter(isNdArray));
    };
    const rendered = await driver.play(8, { seed: 1, meanwhile: draw });
    const [first, second] = drawn;
    if (shared(first, second) !== undefined)
      report.error(
        'render()',
        'the second call returns the same array',
        show(second),
        'draw into a new array at each call',
      );
    const plain = await driver.play(8, { seed: 1, actions: rendered.actions });
    reportUnlike(
      driver,
      plain.moments,
      rendered.moments,
      'rendering changes the episode',
      'draw nothing from the random stream and change no state in render()',
    );
  },
};

/** Fails the check on a picture that is neither uint8 [height, width, 3] nor text. */
function needPicture(report: Report, where: string, picture: unknown): void {
  const todo = 'return { data: Uint8Array, shape: [height, width, 3] }, or a text';
  if (typeof picture === 'string') {
    if (picture === '') report.fail(where, 'the text is empty', '""', todo);
  } else if (!isNdArray(picture)) report.fail(where, 'it must be a picture or a text', show(picture), todo);
  else if (!(picture.data instanceof Uint8Array) || picture.shape.length !== 3 || picture.shape[2] !== 3)
    report.fail(
      where,
      'a picture is uint8 [height, width, 3]',
      `${picture.data.constructor.name} [${picture.shape.join(', ')}]`,
      todo,
    );
  else if (picture.data.length !== sizeOf(picture.shape))
    report.fail(
      where,
      `its data must fill the shape [${picture.shape.join(', ')}]`,
      `${picture.data.length} values`,
      todo,
    );
}
