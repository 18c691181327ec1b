import { mkdir } from 'node:fs/promises';
import type { TestContext } from 'node:test';
import { execa } from 'execa';

/** Mounts for the time of a test; skips it, with null, where that is not permitted. */
export async function mountOrSkip(
  context: TestContext,
  folder: string,
  ...steps: readonly (readonly string[])[]
): Promise<{ unmount(): Promise<void> } | null> {
  await mkdir(folder, { recursive: true });
  let isMounted = false;
  const unmount = async (): Promise<void> => {
    if (isMounted) await execa('umount', [folder]);
    isMounted = false;
  };
  for (const step of steps) {
    const { failed } = await execa('mount', [...step, folder], { reject: false });
    if (failed) {
      await unmount();
      context.skip('mounting is not permitted here: it takes root');
      return null;
    }
    isMounted = true;
  }
  return { unmount };
}
