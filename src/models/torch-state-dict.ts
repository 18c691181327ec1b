import { readPickle, type PickleHost } from './pickle.ts';
import type { FloatFormat } from './float-formats.ts';
import { withoutWrappers } from './wrapper-prefixes.ts';

/** Where the numbers of a tensor stand: a strided view of a storage. */
export interface TensorView {
  /** Name of the storage's entry in the file. */
  readonly storage: string;
  /** Null: integers, such as PyTorch's `num_batches_tracked`. */
  readonly format: FloatFormat | null;
  /** Elements of the whole storage. */
  readonly storageCount: number;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

export interface Faults {
  /** The file is damaged. */
  malformed(reason: string): Error;
  /** The file is whole, and `what` it holds is no state_dict. */
  noStateDict(what: string, hint?: string): Error;
  /** The file holds what could be used to run code, or is not known. */
  unsafe(reason: string): Error;
}

/** Format of a storage class; null: integers. */
const STORAGES: Readonly<Record<string, FloatFormat | null>> = {
  'torch.FloatStorage': 'F32',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.DoubleStorage': 'F64',
  'torch.LongStorage': null,
  'torch.IntStorage': null,
  'torch.ShortStorage': null,
  'torch.CharStorage': null,
  'torch.ByteStorage': null,
  'torch.BoolStorage': null,
};
const ORDERED_DICT = 'collections.OrderedDict';
const REBUILD_TENSOR = 'torch._utils._rebuild_tensor_v2';
const REBUILD_PARAMETER = 'torch._utils._rebuild_parameter';
/** A dict of counts, as of schedulers' milestones. */
const COUNTER = 'collections.Counter';
const SIZE = 'torch.Size';
const KNOWN = new Set([
  ...[ORDERED_DICT, COUNTER, SIZE, REBUILD_TENSOR, REBUILD_PARAMETER],
  ...Object.keys(STORAGES),
]);
/** Under which training scripts put the state_dict beside epoch and optimizer; averages only where they are alone. */
const NESTED_KEYS = ['state_dict', 'model_state_dict', 'model', 'model_ema', 'state_dict_ema'];

/** Objects of their own, so that no text in a pickle can pass for one. */
class KnownGlobal {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

class Storage {
  readonly format: FloatFormat | null;
  readonly key: string;
  readonly count: number;
  constructor(format: FloatFormat | null, key: string, count: number) {
    this.format = format;
    this.key = key;
    this.count = count;
  }
}

class Tensor {
  readonly view: TensorView;
  constructor(view: TensorView) {
    this.view = view;
  }
}

/** The tensors of the state_dict in `data.pkl` of a file of torch.save, nested in a checkpoint or not. */
export function readStateDict(pickle: Buffer, faults: Faults): ReadonlyMap<string, TensorView> {
  const root = readPickle(pickle, torchHost(faults));
  const views = new Map<string, TensorView>();
  for (const [name, value] of stateDictOf(root, faults)) {
    if (typeof name === 'string' && value instanceof Tensor) views.set(name, value.view);
  }
  if (views.size === 0) throw faults.noStateDict('no tensors by name, as a state_dict does');
  return withoutWrappers(views);
}

/**
 * Where the tensors stand: under a known key, else under the only other key whose dict has more arrays of
 * floats than the root has beside it.
 */
function stateDictOf(root: unknown, faults: Faults): Map<unknown, unknown> {
  if (!(root instanceof Map)) throw faults.noStateDict('no dict of tensors');
  const known = NESTED_KEYS.map((key): unknown => root.get(key)).find(holdsTensors);
  if (known !== undefined) return known;
  const rootCount = floatArrayCount(root);
  const larger = [...(root as Map<unknown, unknown>)].flatMap(([key, value]) =>
    value instanceof Map && floatArrayCount(value) > rootCount ? [{ key: String(key), value }] : [],
  );
  const [only, ...others] = larger;
  if (only === undefined) return root;
  if (others.length === 0) return only.value;
  const keys = larger.map(({ key }) => `"${key}"`).join(', ');
  throw faults.noStateDict(
    `tensors under ${keys}, and under none of ${NESTED_KEYS.map((key) => `"${key}"`).join(', ')}`,
    `save the one to use alone: torch.save(torch.load(path, weights_only=True)["${only.key}"], other_path)`,
  );
}

function holdsTensors(value: unknown): value is Map<unknown, unknown> {
  return value instanceof Map && [...value.values()].some((item) => item instanceof Tensor);
}

function floatArrayCount(dict: ReadonlyMap<unknown, unknown>): number {
  return [...dict.values()].filter(
    (item) => item instanceof Tensor && item.view.format !== null && item.view.shape.length > 0,
  ).length;
}

function torchHost(faults: Faults): PickleHost {
  return {
    ...faults,
    global(name) {
      if (!KNOWN.has(name)) throw faults.unsafe(`the global "${name}"`);
      return new KnownGlobal(name);
    },
    call(target, parts) {
      const name = target instanceof KnownGlobal ? target.name : '';
      switch (name) {
        case ORDERED_DICT:
        case COUNTER:
          return new Map();
        case SIZE:
          return parts[0];
        case REBUILD_TENSOR:
          return rebuildTensor(parts, faults);
        case REBUILD_PARAMETER:
          return parts[0];
        default:
          throw faults.unsafe(`a call of ${name === '' ? 'what is no function' : name}`);
      }
    },
    persistent: (id) => storageOf(id, faults),
  };
}

/** ('storage', storage class, key, location, element count), as torch/serialization.py writes it. */
function storageOf(id: unknown, faults: Faults): Storage {
  const parts: unknown[] = Array.isArray(id) ? id : [];
  const [tag, kind, key, , count] = parts;
  const isComplete =
    tag === 'storage' && kind instanceof KnownGlobal && typeof key === 'string' && isCount(count);
  const format = isComplete ? STORAGES[kind.name] : undefined;
  if (!isComplete || format === undefined) throw faults.malformed('it describes a storage wrongly');
  return new Storage(format, key, count);
}

/** storage, offset, sizes, strides, then what does not matter for numbers. */
function rebuildTensor(parts: readonly unknown[], faults: Faults): Tensor {
  const [storage, offset, shape, strides] = parts;
  if (
    !(storage instanceof Storage) ||
    !isCount(offset) ||
    !isCounts(shape) ||
    !isCounts(strides) ||
    shape.length !== strides.length
  ) {
    throw faults.malformed('it describes a tensor wrongly');
  }
  const { key, format, count } = storage;
  return new Tensor({ storage: key, storageCount: count, format, offset, shape, strides });
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0; // a safe integer is a number
}
