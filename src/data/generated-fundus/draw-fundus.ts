import { InternalError } from '../../diagnostics/errors.ts';
import type { Random } from '../../numeric/random.ts';
import { chooseAnatomy } from './anatomy.ts';
import { chooseCamera, takePhotograph } from './camera.ts';
import type { Canvas } from './canvas.ts';
import { GRADES, paintLesions } from './grades.ts';
import { paintRetina } from './retina.ts';
import { paintVessels } from './vessels.ts';

/**
 * A drawn fundus photograph of one grade, packed uint8 RGB [S, S, 3]. The same random stream gives
 * the same picture. It imitates what a network must learn to see, not any patient.
 */
export function drawFundus(request: {
  /** Index into GRADES. */
  readonly grade: number;
  readonly sizePx: number;
  readonly random: Random;
}): Uint8Array {
  const { sizePx, random } = request;
  const grade = GRADES[request.grade];
  if (grade === undefined) throw new InternalError(`no grade ${request.grade}`);
  // Streams of their own: the healthy eye does not change with the lesions drawn on it.
  const anatomy = chooseAnatomy(random.stream('anatomy'));
  const canvas = createCanvas(sizePx, random.stream('framing'));
  paintRetina(canvas, anatomy, random.stream('retina'));
  paintVessels(canvas, anatomy, random.stream('vessels'), grade.venousBeading ?? 0);
  paintLesions({ canvas, anatomy, random: random.stream('lesions') }, grade);
  const cameraRandom = random.stream('camera');
  return takePhotograph(canvas, chooseCamera(cameraRandom), cameraRandom);
}

function createCanvas(sizePx: number, random: Random): Canvas {
  const offset = (): number => (random.next() - 0.5) * 0.03 * sizePx;
  return {
    sizePx,
    pixels: new Float32Array(sizePx * sizePx * 3),
    centrePx: { x: sizePx / 2 + offset(), y: sizePx / 2 + offset() },
    radiusPx: sizePx * (0.46 + 0.04 * random.next()),
  };
}
