import { makeZip, type ZipFixtureEntry } from './picture-fixtures.ts';

/** A tensor for `torchFile`: a view of a storage, by default all of it in row-major order. */
export interface TensorFixture {
  readonly kind?:
    'Float' | 'Half' | 'BFloat16' | 'Double' | 'Long' | 'Int' | 'Byte' | 'Bool' | 'ComplexFloat';
  readonly data: ArrayBufferView & { readonly length: number };
  readonly shape: readonly number[];
  readonly strides?: readonly number[];
  readonly offset?: number;
  readonly isParameter?: boolean;
}

/** Bytes of a pickle, opcode for opcode as Python's pickletools.dis shows those of torch.save. */
export const pickle = {
  start: Buffer.from([0x80, 2]),
  stop: Buffer.from('.'),
  none: Buffer.from('N'),
  isFalse: Buffer.from([0x89]),
  emptyTuple: Buffer.from(')'),
  global: (module: string, name: string): Buffer => Buffer.from(`c${module}\n${name}\n`),
  text(value: string): Buffer {
    const length = Buffer.alloc(5, 'X');
    length.writeUInt32LE(Buffer.byteLength(value), 1);
    return Buffer.concat([length, Buffer.from(value)]);
  },
  /** BININT1, BININT2 or BININT, as the size asks. */
  integer: (value: number): Buffer => {
    if (value >= 0 && value < 256) return Buffer.from([0x4b, value]);
    if (value >= 0 && value < 65_536) return Buffer.from([0x4d, value & 0xff, value >> 8]);
    const bytes = Buffer.alloc(5, 'J');
    bytes.writeInt32LE(value, 1);
    return bytes;
  },
  tuple: (...items: Buffer[]): Buffer =>
    Buffer.concat([Buffer.from('('), ...items, Buffer.from('t')]),
  call: (target: Buffer, ...parts: Buffer[]): Buffer =>
    Buffer.concat([target, pickle.tuple(...parts), Buffer.from('R')]),
  /** A plain dict; of an OrderedDict with `_metadata`, as `state_dict()` gives, when `ordered`. */
  dict(entries: readonly (readonly [string, Buffer])[], ordered = false): Buffer {
    const orderedDict = (): Buffer => pickle.call(pickle.global('collections', 'OrderedDict'));
    return Buffer.concat([
      ordered ? orderedDict() : Buffer.from('}'),
      Buffer.from('('),
      ...entries.flatMap(([name, value]) => [pickle.text(name), value]),
      Buffer.from('u'),
      ...(ordered ? [pickle.dict([['_metadata', orderedDict()]]), Buffer.from('b')] : []),
    ]);
  },
};

export function tensorPickle(fixture: TensorFixture, key: string): Buffer {
  const { kind = 'Float', data, shape, offset = 0, isParameter = false } = fixture;
  const strides =
    fixture.strides ?? shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const storage = Buffer.concat([
    pickle.tuple(
      ...[pickle.text('storage'), pickle.global('torch', `${kind}Storage`), pickle.text(key)],
      ...[pickle.text('cpu'), pickle.integer(data.length)],
    ),
    Buffer.from('Q'),
  ]);
  const tensor = pickle.call(
    pickle.global('torch._utils', '_rebuild_tensor_v2'),
    ...[storage, pickle.integer(offset)],
    ...[pickle.tuple(...shape.map(pickle.integer)), pickle.tuple(...strides.map(pickle.integer))],
    ...[pickle.isFalse, pickle.call(pickle.global('collections', 'OrderedDict'))],
  );
  if (!isParameter) return tensor;
  return pickle.call(
    pickle.global('torch._utils', '_rebuild_parameter'),
    ...[tensor, pickle.isFalse, pickle.call(pickle.global('collections', 'OrderedDict'))],
  );
}

/** The zip of torch.save around a pickle of `root` and storages, in order `data/0`, `data/1`, … */
export function torchZip(root: Buffer, storages: readonly ArrayBufferView[] = []): Buffer {
  return makeZip([
    entry('data.pkl', Buffer.concat([pickle.start, root, pickle.stop])),
    entry('byteorder', Buffer.from('little')),
    ...storages.map((data, key) =>
      entry(`data/${key}`, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
    ),
    entry('version', Buffer.from('3\n')),
  ]);
}

function entry(name: string, content: Uint8Array): ZipFixtureEntry {
  return { name: `weights/${name}`, content };
}

/** The file of `torch.save(state_dict, path)`. */
export function torchFile(tensors: Readonly<Record<string, TensorFixture>>): Buffer {
  const fixtures = Object.entries(tensors);
  const root = pickle.dict(
    fixtures.map(([name, fixture], key) => [name, tensorPickle(fixture, String(key))]),
    true,
  );
  return torchZip(
    root,
    fixtures.map(([, { data }]) => data),
  );
}
