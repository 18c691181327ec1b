import { crc32c } from '@node-rs/crc32';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface ScalarEvent {
  readonly tag: string;
  readonly step: number;
  readonly value: number;
  /** Seconds since 1970. */
  readonly wallTimeSeconds: number;
}

/**
 * Writes scalars as a TensorBoard event file into `folder`: TFRecords of `Event` messages
 * (tensorflow/core/util/event.proto, tensorflow/core/lib/io/record_writer.h).
 */
export async function writeEventFile(
  folder: string,
  events: readonly ScalarEvent[],
): Promise<void> {
  await writeFile(join(folder, eventFileName(events)), encodeEventFile(events));
}

/** TensorBoard takes every file with "tfevents" in its name; the time of the first event orders several of them. */
export function eventFileName(events: readonly ScalarEvent[]): string {
  return `events.out.tfevents.${String(Math.floor(startOf(events))).padStart(10, '0')}.drq`;
}

/** A whole file. */
export function encodeEventFile(events: readonly ScalarEvent[]): Buffer {
  const version = new BinaryWriter()
    .tag(1, WireType.Bit64)
    .double(startOf(events))
    .tag(3, WireType.LengthDelimited)
    .string('brain.Event:2')
    .finish();
  return Buffer.concat([frameRecord(version), encodeEvents(events)]);
}

/** What more events add to the end of a file. */
export function encodeEvents(events: readonly ScalarEvent[]): Buffer {
  return Buffer.concat(events.map((event) => frameRecord(encodeScalar(event))));
}

function startOf(events: readonly ScalarEvent[]): number {
  return events[0]?.wallTimeSeconds ?? 0;
}

/** Event { wall_time = 1, step = 2, summary = 5 { value = 1 { tag = 1, simple_value = 2 } } } */
function encodeScalar({ tag, step, value, wallTimeSeconds }: ScalarEvent): Uint8Array {
  return new BinaryWriter()
    .tag(1, WireType.Bit64)
    .double(wallTimeSeconds)
    .tag(2, WireType.Varint)
    .int64(step)
    .tag(5, WireType.LengthDelimited)
    .fork()
    .tag(1, WireType.LengthDelimited)
    .fork()
    .tag(1, WireType.LengthDelimited)
    .string(tag)
    .tag(2, WireType.Bit32)
    .float(value)
    .join()
    .join()
    .finish();
}

/** uint64 length, masked crc of it, data, masked crc of them; all little-endian. */
function frameRecord(data: Uint8Array): Uint8Array {
  const record = Buffer.alloc(8 + 4 + data.length + 4);
  record.writeBigUInt64LE(BigInt(data.length), 0);
  record.writeUInt32LE(maskedCrc32c(record.subarray(0, 8)), 8);
  record.set(data, 12);
  record.writeUInt32LE(maskedCrc32c(data), 12 + data.length);
  return record;
}

/** Rotated right by 15 bits plus a constant (tensorflow/core/lib/hash/crc32c.h, `Mask`). */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(Buffer.from(bytes));
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
