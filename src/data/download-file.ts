import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DataError, DrqError, InterruptedError } from '../diagnostics/errors.ts';

export interface DownloadRequest {
  readonly url: string;
  /** Path of the file to write. */
  readonly target: string;
  /** SHA-256 the file must have, hexadecimal. */
  readonly sha256: string;
  readonly maximumBytes: number;
  readonly signal: AbortSignal;
  /** The server is given up when nothing has come for this long. */
  readonly idleLimitMs?: number;
  /** Called as bytes come; the total is unknown when the server does not say. */
  readonly onProgress: (receivedBytes: number, totalBytes: number | undefined) => void;
}

/** Slow mirrors pause for seconds; a connection that says nothing for a minute is dead. */
const IDLE_LIMIT_MS = 60_000;

/**
 * Downloads a file and checks its digest.
 * @throws DataError `data/download-failed`, `data/download-too-large`, `data/wrong-sha256`
 */
export async function downloadFile(request: DownloadRequest): Promise<void> {
  const { url, target, idleLimitMs = IDLE_LIMIT_MS } = request;
  const idle = new AbortController();
  const timer = setTimeout(() => idle.abort(), idleLimitMs);
  const signal = AbortSignal.any([request.signal, idle.signal]);
  let digest: string;
  try {
    const response = await fetch(url, { signal });
    if (!response.ok || response.body === null) {
      throw failed(url, `the server answered ${response.status} ${response.statusText}`);
    }
    const hash = createHash('sha256');
    const length = Number(response.headers.get('content-length') ?? NaN);
    await pipeline(
      Readable.from(response.body),
      countBytes(request, {
        hash,
        totalBytes: Number.isFinite(length) ? length : undefined,
        onChunk: () => timer.refresh(),
      }),
      createWriteStream(target),
      { signal },
    );
    digest = hash.digest('hex');
  } catch (error) {
    if (request.signal.aborted) throw new InterruptedError();
    if (error instanceof DrqError) throw error;
    const reason = idle.signal.aborted
      ? `the server sent nothing for ${idleLimitMs / 1000} s`
      : reasonOf(error);
    throw failed(url, reason, error);
  } finally {
    clearTimeout(timer);
  }
  checkSha256(url, digest, request.sha256);
}

/** @throws DataError `data/wrong-sha256`, naming both digests */
export function checkSha256(what: string, received: string, expected: string): void {
  if (received === expected.toLowerCase()) return;
  throw new DataError({
    code: 'data/wrong-sha256',
    message: `${what} has SHA-256 ${received}, expected ${expected.toLowerCase()}`,
    hint: 'the file was changed or damaged; check its source, then correct the parameter sha256',
  });
}

/** SHA-256 of a file's bytes, hexadecimal. */
export async function hashFile(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  const options = signal === undefined ? {} : { signal };
  // An async iterator hands out chunks typed `any`; files opened without encoding give Buffers.
  for await (const chunk of createReadStream(path, options)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

function countBytes(
  { url, maximumBytes, onProgress }: DownloadRequest,
  {
    hash,
    totalBytes,
    onChunk,
  }: {
    readonly hash: ReturnType<typeof createHash>;
    readonly totalBytes: number | undefined;
    readonly onChunk: () => void;
  },
): Transform {
  let received = 0;
  return new Transform({
    transform(chunk: Uint8Array, _encoding, done) {
      onChunk();
      received += chunk.length;
      hash.update(chunk);
      onProgress(received, totalBytes);
      done(received > maximumBytes ? tooLarge(url, maximumBytes) : null, chunk);
    },
  });
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // fetch says only "fetch failed"; the reason is its cause.
  return error.cause instanceof Error ? error.cause.message : error.message;
}

function failed(url: string, reason: string, cause?: unknown): DataError {
  return new DataError({
    code: 'data/download-failed',
    message: `${url} cannot be downloaded: ${reason}`,
    hint: 'check the address and the network, or download it yourself and give it as the source input',
    ...(cause === undefined ? {} : { cause }),
  });
}

function tooLarge(url: string, maximumBytes: number): DataError {
  return new DataError({
    code: 'data/download-too-large',
    message: `${url} is larger than ${maximumBytes / 1e9} GB`,
    hint: 'if it is meant to be that large, raise the parameter archive.maximumGigabytes',
  });
}
