import { readFileSync } from 'node:fs';
import { imageSize } from 'image-size';
import sharp, { type Metadata, type Sharp } from 'sharp';
import { DataError } from '../diagnostics/errors.ts';
import {
  boxGeometry,
  shortSideGeometry,
  type PixelBox,
  type PixelSize,
  type ResizeGeometry,
} from './resize-geometry.ts';
import { findRetinaBox } from './retina-box.ts';

/** libvips' own limit, 0x3fff squared: about 268 megapixels. */
export const DEFAULT_LIMIT_PIXELS = 0x3fff * 0x3fff;

/** Formats that hold photographs; SVG and PDF, which libvips also renders, are not among them. */
const PHOTOGRAPH_FORMATS = new Set(['jpeg', 'png', 'webp', 'tiff', 'gif', 'heif', 'jp2', 'jxl']);

/** Values of known range: 8 and 16 bits. What is black and white of others (float TIFF), no header tells. */
const PIXEL_DEPTHS = new Set(['uchar', 'ushort']);

/** Short side of the small decode in which the retina is looked for. */
const RETINA_SEARCH_PX = 128;

export interface DecodeOptions extends PixelSize {
  /** Cut to the bounding box of the retina first; false by default. */
  readonly circleCrop?: boolean;
  /** Larger images are refused from their header, before decoding. */
  readonly limitPixels?: number;
  /** How messages call the image; the path when the source is a path. */
  readonly shownName?: string;
  /** Gets the orientation of EXIF, 1 (upright) where the file has none; it is not applied. */
  readonly onOrientation?: (orientation: number) => void;
}

/**
 * Packed uint8 sRGB pixels [H, W, 3] of an image resized on its short side and centre-cropped.
 *
 * As torchvision with Pillow does it: size and offsets rounded alike, antialiased bilinear (the
 * triangle kernel, mean absolute difference on IDRiD 0.18 grey levels at 512 px and 0.26 at
 * 4288 x 2848, where the JPEG decoder shrinks while it loads), EXIF orientation not applied, alpha
 * dropped, grey expanded to three channels, 16 bits reduced to 8. An embedded colour profile and
 * CMYK are converted to sRGB, which Pillow would not do.
 *
 * @throws DataError `data/unreadable-image`, `data/image-too-large`
 */
export async function decodeImage(
  source: string | Uint8Array,
  options: DecodeOptions,
): Promise<Uint8Array> {
  const shownName = options.shownName ?? (typeof source === 'string' ? source : 'the image');
  const bytes = typeof source === 'string' ? readImageFile(source, shownName) : source;
  const size = await readImageSize(bytes, shownName, options.limitPixels);
  options.onOrientation?.(size.orientation);
  const image = { bytes, hasAlpha: size.hasAlpha, shownName };
  const box = options.circleCrop === true ? await locateRetina(image, size) : null;
  const target = { width: options.width, height: options.height };
  const geometry = box === null ? shortSideGeometry(size, target) : boxGeometry(size, box, target);
  return decodeTo(image, geometry);
}

/**
 * Packed uint8 sRGB pixels [H, W, 3] of the whole image squeezed to a size, without regard to its
 * proportions. Reads the file to its end, so that it also tells whether the image is whole.
 *
 * @throws DataError `data/unreadable-image`, `data/image-too-large`
 */
export async function decodeStretched(
  bytes: Uint8Array,
  options: Omit<DecodeOptions, 'circleCrop'>,
): Promise<Uint8Array> {
  const { width, height, limitPixels, shownName = 'the image' } = options;
  const { hasAlpha, orientation } = await readImageSize(bytes, shownName, limitPixels);
  options.onOrientation?.(orientation);
  return decodeTo({ bytes, hasAlpha, shownName }, stretch({ width, height }));
}

interface ImageHeader extends PixelSize {
  readonly hasAlpha: boolean;
  readonly orientation: number;
}

interface EncodedImage {
  readonly bytes: Uint8Array;
  readonly hasAlpha: boolean;
  readonly shownName: string;
}

/**
 * Size and channels from the header alone; nothing is decoded.
 * @throws DataError `data/unreadable-image`, `data/image-too-large`
 */
async function readImageSize(
  bytes: Uint8Array,
  shownName: string,
  limitPixels?: number,
): Promise<ImageHeader> {
  const header = readJpegSize(bytes) ?? (await readAnySize(bytes, shownName));
  if (header.width * header.height > (limitPixels ?? DEFAULT_LIMIT_PIXELS)) {
    throw tooLarge(shownName, header, limitPixels);
  }
  return header;
}

/** Asking libvips costs two hand-overs between threads, a tenth of the time of a small photograph. */
function readJpegSize(bytes: Uint8Array): ImageHeader | null {
  try {
    const { type, width, height, orientation = 1 } = imageSize(bytes);
    return type === 'jpg' ? { width, height, hasAlpha: false, orientation } : null;
  } catch {
    return null; // libvips then says what is wrong
  }
}

/** @throws DataError `data/unreadable-image` */
async function readAnySize(bytes: Uint8Array, shownName: string): Promise<ImageHeader> {
  let metadata: Metadata;
  try {
    metadata = await open(bytes).metadata();
  } catch (cause) {
    throw unsupportedFormat(bytes, shownName) ?? unreadable(shownName, cause);
  }
  const { format, width, height, hasAlpha, depth, orientation = 1 } = metadata;
  if (!PHOTOGRAPH_FORMATS.has(format)) throw unsupported(shownName, format);
  if (!PIXEL_DEPTHS.has(depth)) throw unsupportedDepth(shownName, depth);
  return { width, height, hasAlpha, orientation };
}

/** @throws DataError `data/unreadable-image` */
async function decodeTo(
  image: EncodedImage,
  { resized, kept }: ResizeGeometry,
): Promise<Uint8Array> {
  const decode = async (): Promise<Buffer> =>
    (image.hasAlpha ? await withoutAlpha(image.bytes) : open(image.bytes))
      .resize({ ...resized, fit: 'fill', kernel: 'linear', fastShrinkOnLoad: true })
      .extract({ ...kept })
      .removeAlpha()
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer();
  const pixels = await withReason(decode).catch((cause: unknown) => {
    throw unreadable(image.shownName, cause);
  });
  return isGrey(pixels, kept) ? expandGrey(pixels) : pixels;
}

/** Before it is resized, which weighs colours by alpha: those of transparent pixels would come out black. */
async function withoutAlpha(bytes: Uint8Array): Promise<Sharp> {
  const { data, info } = await open(bytes)
    .removeAlpha()
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  return sharp(data, { raw: { width, height, channels }, limitInputPixels: false });
}

/**
 * libvips keeps the reasons of its errors in one place for all threads, where another image may clear
 * it first: sharp then says "Unknown error". What fails once fails again, so it is asked again.
 */
async function withReason<T>(decode: () => Promise<T>, attempts = 5): Promise<T> {
  try {
    return await decode();
  } catch (error) {
    const isUntold = error instanceof Error && error.message.trim() === 'Unknown error';
    if (!isUntold || attempts <= 1) throw error;
    return withReason(decode, attempts - 1);
  }
}

async function locateRetina(image: EncodedImage, size: PixelSize): Promise<PixelBox | null> {
  const scale = Math.min(1, RETINA_SEARCH_PX / Math.min(size.width, size.height));
  const small = {
    width: Math.max(1, Math.round(size.width * scale)),
    height: Math.max(1, Math.round(size.height * scale)),
  };
  const pixels = await decodeTo(image, stretch(small));
  const box = findRetinaBox(pixels, small);
  if (box === null) return null;
  return {
    left: box.left / scale,
    top: box.top / scale,
    width: box.width / scale,
    height: box.height / scale,
  };
}

/** The whole image at a size. */
function stretch(size: PixelSize): ResizeGeometry {
  return { resized: size, kept: { left: 0, top: 0, ...size } };
}

/** The bytes of an image file. @throws DataError `data/unreadable-image` */
function readImageFile(path: string, shownName: string): Uint8Array {
  try {
    // Not asynchronous, as in the shard writer: it would wait behind the images being decoded.
    return readFileSync(path);
  } catch (cause) {
    throw unreadable(shownName, cause);
  }
}

/** A fresh pipeline on the bytes. The limits of sharp itself are off: ours, with their message, come first. */
function open(bytes: Uint8Array): Sharp {
  configureSharp();
  return sharp(bytes, {
    sequentialRead: true,
    limitInputPixels: false,
    // Cut-off files are refused; harmless warnings (a stray byte between two markers) are not. libtiff
    // tells rows that are missing as an error like others; what it goes on with is black.
    failOn: isTiff(bytes) ? 'error' : 'truncated',
  });
}

/** By its byte order and version, 42 or, of BigTIFF, 43 (TIFF 6.0, section 2). */
function isTiff(bytes: Uint8Array): boolean {
  const [a, b, c, d] = bytes;
  const isVersion = (version: number | undefined): boolean => version === 42 || version === 43;
  const isLittle = a === 0x49 && b === 0x49 && isVersion(c) && d === 0;
  return isLittle || (a === 0x4d && b === 0x4d && c === 0 && isVersion(d));
}

let isConfigured = false;

/** One libvips thread an image, since many images are in flight, and no cache of past results. */
function configureSharp(): void {
  if (isConfigured) return;
  sharp.concurrency(1);
  sharp.cache(false);
  isConfigured = true;
}

function isGrey(pixels: Uint8Array, size: PixelSize): boolean {
  return pixels.length === size.width * size.height;
}

/** [H, W] → [H, W, 3] */
function expandGrey(grey: Uint8Array): Uint8Array {
  const rgb = new Uint8Array(grey.length * 3);
  for (let i = 0; i < grey.length; i += 1) rgb.fill(grey[i]!, i * 3, i * 3 + 3); // i < length
  return rgb;
}

function unreadable(shownName: string, cause: unknown): DataError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new DataError({
    code: 'data/unreadable-image',
    message: `${shownName} cannot be read as an image: ${firstLine(reason)}`,
    hint: 'replace or remove the file; it may be truncated, or not be an image in spite of its name',
    cause,
  });
}

const LEAST_HEADER_BYTES = 18; // TGA's header, which has no signature

/** What a file is that libvips cannot read, such as BMP; null where nothing is known of it. */
function unsupportedFormat(bytes: Uint8Array, shownName: string): DataError | null {
  if (bytes.length < LEAST_HEADER_BYTES) return null; // what is as short passes for anything
  try {
    const { type = '' } = imageSize(bytes);
    return PHOTOGRAPH_FORMATS.has(type === 'jpg' ? 'jpeg' : type) || type === ''
      ? null
      : unsupported(shownName, type);
  } catch {
    return null; // no image in any format that is known here either
  }
}

function unsupported(shownName: string, format: string): DataError {
  return new DataError({
    code: 'data/unreadable-image',
    message: `${shownName} is a ${format.toUpperCase()} file, a format that is not read`,
    hint: 'convert it to JPEG, PNG, TIFF, WebP, GIF or AVIF, or remove it',
  });
}

function unsupportedDepth(shownName: string, depth: string): DataError {
  return new DataError({
    code: 'data/unreadable-image',
    message: `${shownName} has pixels of type ${depth}, whose range is not known`,
    hint: 'convert it to 8 or 16 bits a channel, or remove it',
  });
}

/** Who gives no limit has no parameter for it. */
function tooLarge(
  shownName: string,
  { width, height }: PixelSize,
  given: number | undefined,
): DataError {
  const limit = given ?? DEFAULT_LIMIT_PIXELS;
  const megapixels = (pixels: number): string => (pixels / 1e6).toFixed(pixels < 1e6 ? 3 : 0);
  return new DataError({
    code: 'data/image-too-large',
    message: `${shownName} is ${width} x ${height}: ${megapixels(width * height)} megapixels, the limit is ${megapixels(limit)}`,
    hint:
      given === undefined
        ? 'leave the image out, or give a smaller copy of it'
        : 'if the image is meant to be that large, raise the parameter limitMegapixels',
  });
}

function firstLine(text: string): string {
  return text.trim().split('\n', 1)[0] ?? text;
}
