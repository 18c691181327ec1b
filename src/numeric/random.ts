import { createHash } from 'node:crypto';

/** A seeded stream of random numbers; the same seed and name give the same stream on every machine. */
export interface Random {
  /** Uniform in [0, 1), 53 bits. */
  next(): number;
  /** Uniform integer in [0, exclusiveEnd). */
  integer(exclusiveEnd: number): number;
  /** Standard normal (Box-Muller). */
  normal(): number;
  /** A stream of its own, independent of how much of this one was used. */
  stream(name: string): Random;
}

/**
 * The stream `name` of `seed`. The state is SHA-256 of both, so neighbouring seeds and names are
 * unrelated; the generator is xoshiro128** 1.1 (Blackman and Vigna, 2018).
 */
export function createRandom(seed: number, name: string): Random {
  return fromLabel(`${seed}/${name}`);
}

function fromLabel(label: string): Random {
  const digest = createHash('sha256').update(label).digest();
  let a = digest.readUInt32LE(0);
  let b = digest.readUInt32LE(4);
  let c = digest.readUInt32LE(8);
  let d = digest.readUInt32LE(12) | 1; // never all zero

  const nextUint32 = (): number => {
    const scrambled = Math.imul(b, 5);
    const result = Math.imul((scrambled << 7) | (scrambled >>> 25), 9) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = (d << 11) | (d >>> 21);
    return result;
  };
  const next = (): number => {
    const high = nextUint32() >>> 5;
    const low = nextUint32() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  };
  return {
    next,
    integer: (exclusiveEnd) => Math.floor(next() * exclusiveEnd),
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    stream: (name) => fromLabel(`${label}/${name}`),
  };
}

/** A new array with the same items in random order (Fisher-Yates). */
export function shuffled<T>(items: readonly T[], random: Random): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i -= 1) {
    const j = random.integer(i + 1);
    [result[i], result[j]] = [result[j]!, result[i]!]; // both indices lie inside the array
  }
  return result;
}
