import { crc32 } from '@node-rs/crc32';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import sharp from 'sharp';

/** A small JPEG whose content depends on `seed`, so that two seeds give two different files. */
export async function makeJpeg(seed: number, width = 40, height = 32): Promise<Buffer> {
  const pixels = new Uint8Array(width * height * 3);
  for (let i = 0; i < pixels.length; i += 1) {
    const x = Math.floor(i / 3) % width;
    const y = Math.floor(i / 3 / width);
    pixels[i] = (x * (3 + (seed % 5)) + y * (1 + (seed % 7)) + seed * 31 + (i % 3) * 40) % 200;
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 90 })
    .toBuffer();
}

/** The same pixels, with an orientation of EXIF by which viewers turn them. */
export function withOrientation(picture: Uint8Array, orientation: number): Promise<Buffer> {
  return sharp(picture).withMetadata({ orientation }).toBuffer();
}

/** Writes files, making their folders: path → content. */
export async function writeFiles(
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
}

/** A PNG that claims a size and holds no pixels; its checksums are right. */
export function makePngHeader(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8); // 8 bits, RGB
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    pngChunk('IHDR', header),
    pngChunk('IDAT', Buffer.alloc(0)),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

function pngChunk(type: string, content: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), content]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(content.length);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32(body) >>> 0);
  return Buffer.concat([length, body, checksum]);
}

/** A white, uncompressed grey TIFF whose rows end the file, as most programs write it (TIFF 6.0, section 4). */
export function makeWhiteTiff(width: number, height: number): Buffer {
  const tags = [
    [256, width],
    [257, height],
    [258, 8], // bits a sample
    [259, 1], // no compression
    [262, 1], // 0 is black
    [273, 0], // where the rows are, below
    [277, 1], // samples a pixel
    [278, height], // all rows in one strip
    [279, width * height],
  ] as const;
  const headBytes = 8 + 2 + 12 * tags.length + 4;
  const head = Buffer.alloc(headBytes);
  head.write('49492a0008000000', 0, 'hex');
  head.writeUInt16LE(tags.length, 8);
  for (const [i, [tag, value]] of tags.entries()) {
    const at = 10 + 12 * i;
    head.writeUInt16LE(tag, at);
    head.writeUInt16LE(4, at + 2); // 32 bits
    head.writeUInt32LE(1, at + 4);
    head.writeUInt32LE(tag === 273 ? headBytes : value, at + 8);
  }
  return Buffer.concat([head, Buffer.alloc(width * height, 255)]);
}

export interface ZipFixtureEntry {
  readonly name: string;
  readonly content: Uint8Array;
  /** Unix mode with file type, such as 0o120777 for a link. */
  readonly mode?: number;
}

/** A zip with stored entries under any names, also those no honest program writes (APPNOTE 4.3). */
export function makeZip(entries: readonly ZipFixtureEntry[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content, mode = 0o100644 } of entries) {
    const nameBytes = Buffer.from(name);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0); // version needed
    common.writeUInt32LE(crc32(content) >>> 0, 10);
    common.writeUInt32LE(content.length, 14);
    common.writeUInt32LE(content.length, 18);
    common.writeUInt16LE(nameBytes.length, 22);
    const local = Buffer.concat([Buffer.from('504b0304', 'hex'), common, nameBytes, content]);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE((mode << 16) >>> 0, 6);
    tail.writeUInt32LE(offset, 10);
    // Made by Unix (3), so that the mode counts.
    const madeBy = Buffer.from([20, 3]);
    directory.push(
      Buffer.concat([Buffer.from('504b0102', 'hex'), madeBy, common, tail, nameBytes]),
    );
    parts.push(local);
    offset += local.length;
  }
  const list = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('504b0506', 0, 'hex');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(list.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, list, end]);
}
