import { runDoctor } from './doctor.ts';

/** `drq doctor`. */
export async function doctor(): Promise<number> {
  return runDoctor();
}
