/** What the numbers and names of a pickle stand for is the host's to say; nothing is imported or run. */
export interface PickleHost {
  /** What stands for a global of Python. @throws for all that are not known. */
  global(name: string): unknown;
  /** What calling the value of a global gives. @throws unless it came from `global`. */
  call(target: unknown, parts: readonly unknown[]): unknown;
  /** An object stored outside the pickle. */
  persistent(id: unknown): unknown;
  malformed(reason: string): Error;
  /** For what could be used to run code. */
  unsafe(reason: string): Error;
}

/** torch.save writes 2 unless told otherwise (torch/serialization.py, DEFAULT_PROTOCOL); 5 is Python's newest. */
const PROTOCOLS = { first: 2, last: 5 };
const STOP = 0x2e;

interface Machine {
  readonly bytes: Buffer;
  readonly host: PickleHost;
  offset: number;
  stack: unknown[];
  /** Stacks below the open marks. */
  readonly below: unknown[][];
  readonly memo: Map<number, unknown>;
}

/**
 * The value of a pickle of protocol 2 to 5 as far as `torch.save` of tensors needs it (opcodes of Python's
 * Lib/pickletools.py): dicts become maps, tuples and lists arrays, None null; attributes of objects are
 * dropped. All other opcodes are refused, those that make objects by name above all.
 * @throws what the host's functions make of it.
 */
export function readPickle(bytes: Buffer, host: PickleHost): unknown {
  const machine: Machine = { bytes, host, offset: 0, stack: [], below: [], memo: new Map() };
  for (;;) {
    const at = machine.offset;
    const opcode = take(machine, 1).readUInt8();
    if (opcode === STOP) return pop(machine);
    const operation = OPERATIONS.get(opcode);
    if (operation === undefined) {
      const code = opcode.toString(16).padStart(2, '0');
      throw host.unsafe(`opcode 0x${code} at byte ${at} of the pickle`);
    }
    operation(machine);
  }
}

const OPERATIONS: ReadonlyMap<number, (machine: Machine) => void> = new Map([
  [0x80, protocol],
  // Constants: NONE, NEWTRUE, NEWFALSE.
  pushing('N', () => null),
  [0x88, (machine: Machine) => machine.stack.push(true)],
  [0x89, (machine: Machine) => machine.stack.push(false)],
  // Numbers: BININT1, BININT2, BININT, LONG1, BINFLOAT.
  pushing('K', (machine) => take(machine, 1).readUInt8()),
  pushing('M', (machine) => take(machine, 2).readUInt16LE()),
  pushing('J', (machine) => take(machine, 4).readInt32LE()),
  [0x8a, (machine: Machine) => machine.stack.push(long(machine))],
  pushing('G', (machine) => take(machine, 8).readDoubleBE()),
  // BINUNICODE
  pushing('X', (machine) => take(machine, take(machine, 4).readUInt32LE()).toString('utf8')),
  // SHORT_BINUNICODE
  [
    0x8c,
    (machine: Machine) => {
      const text = take(machine, take(machine, 1).readUInt8()).toString('utf8');
      machine.stack.push(text);
    },
  ],
  // FRAME says how much may be read ahead, and nothing of the value.
  [0x95, (machine: Machine) => take(machine, 8)],
  // Collections: EMPTY_DICT, EMPTY_LIST, EMPTY_TUPLE, MARK, TUPLE, TUPLE1 to TUPLE3.
  pushing('}', () => new Map()),
  pushing(']', () => []),
  pushing(')', () => []),
  at('(', (machine) => {
    machine.below.push(machine.stack);
    machine.stack = [];
  }),
  at('t', (machine) => {
    const items = popMark(machine);
    machine.stack.push(items);
  }),
  [0x85, (machine: Machine) => machine.stack.push(popMany(machine, 1))],
  [0x86, (machine: Machine) => machine.stack.push(popMany(machine, 2))],
  [0x87, (machine: Machine) => machine.stack.push(popMany(machine, 3))],
  // APPEND, APPENDS, SETITEM, SETITEMS
  at('a', (machine) => {
    append(machine, popMany(machine, 1));
  }),
  at('e', (machine) => {
    append(machine, popMark(machine));
  }),
  at('s', (machine) => {
    setItems(machine, popMany(machine, 2));
  }),
  at('u', (machine) => {
    setItems(machine, popMark(machine));
  }),
  // The memo: BINPUT, LONG_BINPUT, BINGET, LONG_BINGET.
  at('q', (machine) => {
    machine.memo.set(take(machine, 1).readUInt8(), top(machine));
  }),
  at('r', (machine) => {
    machine.memo.set(take(machine, 4).readUInt32LE(), top(machine));
  }),
  // MEMOIZE: under the next number.
  [0x94, (machine: Machine) => machine.memo.set(machine.memo.size, top(machine))],
  pushing('h', (machine) => recall(machine, take(machine, 1).readUInt8())),
  pushing('j', (machine) => recall(machine, take(machine, 4).readUInt32LE())),
  // Objects: GLOBAL, REDUCE, BUILD, BINPERSID.
  pushing('c', (machine) => {
    const module = line(machine);
    return machine.host.global(`${module}.${line(machine)}`);
  }),
  // STACK_GLOBAL
  [
    0x93,
    (machine: Machine) => {
      const [module, name] = popMany(machine, 2);
      if (typeof module !== 'string' || typeof name !== 'string') {
        throw machine.host.malformed('a global in it has no name');
      }
      machine.stack.push(machine.host.global(`${module}.${name}`));
    },
  ],
  pushing('R', (machine) => {
    const [target, parts] = popMany(machine, 2);
    if (!Array.isArray(parts)) throw machine.host.malformed('a call in it has no arguments');
    return machine.host.call(target, parts);
  }),
  at('b', pop),
  pushing('Q', (machine) => machine.host.persistent(pop(machine))),
]);

function at(
  letter: string,
  operation: (machine: Machine) => unknown,
): [number, (machine: Machine) => void] {
  return [letter.charCodeAt(0), operation];
}

function pushing(
  letter: string,
  value: (machine: Machine) => unknown,
): [number, (machine: Machine) => void] {
  return at(letter, (machine) => {
    const pushed = value(machine); // may replace the stack
    machine.stack.push(pushed);
  });
}

function protocol(machine: Machine): void {
  const version = take(machine, 1).readUInt8();
  if (version >= PROTOCOLS.first && version <= PROTOCOLS.last) return;
  throw machine.host.malformed(
    `its pickle is of protocol ${version}, and ${PROTOCOLS.first} to ${PROTOCOLS.last} are read`,
  );
}

/** Little-endian two's complement: sizes and counts; seeds are longer, and rounded. */
function long(machine: Machine): number {
  const bytes = take(machine, take(machine, 1).readUInt8());
  let value = 0n;
  for (const [i, byte] of bytes.entries()) value |= BigInt(byte) << BigInt(8 * i);
  return Number(BigInt.asIntN(8 * bytes.length, value));
}

function append(machine: Machine, items: readonly unknown[]): void {
  const list = top(machine);
  if (!Array.isArray(list)) throw machine.host.malformed('it appends to what is no list');
  for (const item of items) list.push(item);
}

function setItems(machine: Machine, items: readonly unknown[]): void {
  const dict = top(machine);
  if (!(dict instanceof Map)) throw machine.host.malformed('it sets items of what is no dict');
  for (let i = 0; i + 1 < items.length; i += 2) dict.set(items[i], items[i + 1]);
}

function recall(machine: Machine, index: number): unknown {
  if (!machine.memo.has(index)) throw machine.host.malformed(`it has no object ${index}`);
  return machine.memo.get(index);
}

function line(machine: Machine): string {
  const end = machine.bytes.indexOf(0x0a, machine.offset);
  if (end === -1) throw machine.host.malformed('its pickle ends early');
  const text = machine.bytes.toString('utf8', machine.offset, end);
  machine.offset = end + 1;
  return text;
}

function take(machine: Machine, count: number): Buffer {
  const end = machine.offset + count;
  if (end > machine.bytes.length) throw machine.host.malformed('its pickle ends early');
  const part = machine.bytes.subarray(machine.offset, end);
  machine.offset = end;
  return part;
}

function top(machine: Machine): unknown {
  if (machine.stack.length === 0) throw machine.host.malformed('its pickle lacks a value');
  return machine.stack.at(-1);
}

function pop(machine: Machine): unknown {
  const value = top(machine);
  machine.stack.pop();
  return value;
}

function popMany(machine: Machine, count: number): unknown[] {
  if (machine.stack.length < count) throw machine.host.malformed('its pickle lacks a value');
  return machine.stack.splice(-count);
}

function popMark(machine: Machine): unknown[] {
  const items = machine.stack;
  const below = machine.below.pop();
  if (below === undefined) throw machine.host.malformed('its pickle lacks a mark');
  machine.stack = below;
  return items;
}
