import { fingerprintDigest, machineFingerprint as describeMachine } from '../benchmark/machine.ts';
import type { Digest } from '../stage/artifact.ts';

/** What the engine puts into the keys of measurements: it knows nothing of machines itself. */
export async function machineFingerprint(): Promise<Digest> {
  // A SHA-256 in lower-case hexadecimal is what the brand stands for.
  return fingerprintDigest(await describeMachine()) as Digest;
}
