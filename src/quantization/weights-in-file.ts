import { open } from 'node:fs/promises';
import { StageError } from '../diagnostics/errors.ts';
import { graphOf, type Initializer, type OnnxModel } from '../onnx/model.ts';
import type { WeightPlace, WeightPlaces } from '../onnx/writer.ts';
import { collectGarbage } from '../runtime/collect-garbage.ts';

/** Smaller buffers glibc keeps when they are dropped. */
const LEAST_FREED_BYTES = 2 ** 25;
const NO_BYTES = new Uint8Array();
/** Of one read; Linux reads no more than 2 GB at once. */
const MOST_READ_BYTES = 2 ** 30;

/**
 * Calls `use` while the weights of `model` are in the file alone, where that frees much, and reads them
 * again in the end: half of what quantizing a ResNet-50 holds besides its sessions. Nobody may look at
 * them in the meantime.
 */
export async function withWeightsInFile<T>(
  model: OnnxModel,
  { path, places }: { readonly path: string; readonly places: WeightPlaces },
  use: () => Promise<T>,
): Promise<T> {
  const away = graphOf(model).initializer.flatMap((tensor): AwayTensor | [] => {
    const place = places.get(tensor.rawData);
    return place === undefined ? [] : { tensor, place };
  });
  const byteCount = away.reduce((sum, { place }) => sum + place.length, 0);
  if (byteCount < LEAST_FREED_BYTES) return use();
  drop(model, away);
  collectGarbage();
  try {
    return await use();
  } finally {
    await readBack(away, path);
  }
}

interface AwayTensor {
  readonly tensor: Initializer;
  readonly place: WeightPlace;
}

/** A function of its own: a frame that lives on may hold what it last saw. */
function drop(model: OnnxModel, away: readonly AwayTensor[]): void {
  for (const { tensor } of away) tensor.rawData = NO_BYTES;
  // The rest may be views of the same buffer. No slice: that of a Buffer is a view again.
  for (const tensor of graphOf(model).initializer) {
    // Values may lie in typed fields, which bytes that are set hide, if only to none.
    if (tensor.rawData.length > 0) tensor.rawData = Uint8Array.from(tensor.rawData);
  }
}

async function readBack(away: readonly AwayTensor[], path: string): Promise<void> {
  const end = away.reduce((last, { place }) => Math.max(last, place.offset + place.length), 0);
  const bytes = new Uint8Array(end);
  const file = await open(path);
  try {
    for (let position = 0; position < end;) {
      const wanted = Math.min(end - position, MOST_READ_BYTES);
      const { bytesRead } = await file.read(bytes, position, wanted, position);
      if (bytesRead === 0) throw cutOff(path, position, end);
      position += bytesRead;
    }
  } finally {
    await file.close();
  }
  for (const { tensor, place } of away) {
    tensor.rawData = bytes.subarray(place.offset, place.offset + place.length);
  }
}

function cutOff(path: string, length: number, expected: number): StageError {
  return new StageError({
    code: 'quantization/scratch-cut-off',
    message: `${path} ends after ${length} of ${expected} bytes, which were written before`,
    hint: 'something removed or changed a file of the run; let nothing clean its folder and run it again',
  });
}
