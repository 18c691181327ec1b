import type { OperationObserver } from './native-operations.ts';

/** Where the time of a training goes. */
export interface KernelTime {
  /** TensorFlow's name of the operation, such as `Conv2DBackpropFilter`. */
  readonly kernel: string;
  readonly count: number;
  readonly milliseconds: number;
}

export interface KernelTimes {
  readonly observe: OperationObserver;
  /** The costliest first. */
  read(): KernelTime[];
}

/** Sums up what every kind of operation takes; a clock read each, a millionth of a step. */
export function createKernelTimes(): KernelTimes {
  const times = new Map<string, { count: number; milliseconds: number }>();
  return {
    observe(name, milliseconds) {
      const known = times.get(name) ?? { count: 0, milliseconds: 0 };
      known.count += 1;
      known.milliseconds += milliseconds;
      times.set(name, known);
    },
    read: () =>
      [...times]
        .map(([kernel, time]) => ({ kernel, ...time }))
        .sort((a, b) => b.milliseconds - a.milliseconds),
  };
}

/** Lines for people: kernel, share of all kernels' time, calls. */
export function kernelTimeLines(times: readonly KernelTime[]): string[] {
  const total = times.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return times.map(({ kernel, count, milliseconds }) => {
    const share = ((100 * milliseconds) / total).toFixed(1).padStart(5);
    return `${share} %  ${(milliseconds / 1000).toFixed(2).padStart(8)} s  ${String(count).padStart(8)} x  ${kernel}`;
  });
}
