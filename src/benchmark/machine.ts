import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { arch, cpus, loadavg, platform, totalmem } from 'node:os';

/** What decides how fast a network runs here; the same in every run and after every boot. */
export interface MachineFingerprint {
  readonly cpuModel: string;
  /** Of `RELEVANT_FLAGS`, those the CPU has, sorted; empty where they cannot be read. */
  readonly cpuFlags: readonly string[];
  readonly coreCount: number;
  /** Rounded, since the kernel's share changes a little from boot to boot. */
  readonly memoryGib: number;
  readonly platform: string;
  readonly architecture: string;
  /** The frequency governor (`performance`, `powersave`, …), where the system tells it. */
  readonly governor: string | null;
}

export type CpuInt8Support = 'vnni' | 'avx2' | 'neon' | 'none' | 'unknown';

/** Instruction sets that onnxruntime's kernels choose between, as /proc/cpuinfo and macOS spell them. */
const RELEVANT_FLAGS = [
  ...['sse4_1', 'avx', 'avx2', 'fma', 'avx512f', 'avx512bw', 'avx512vl', 'avx512_vnni'],
  ...['avx_vnni', 'avx512_bf16', 'amx_int8', 'amx_tile', 'asimd', 'asimddp', 'i8mm', 'sve'],
] as const;

export async function machineFingerprint(): Promise<MachineFingerprint> {
  const processors = cpus();
  return {
    cpuModel: (processors[0]?.model ?? 'unknown').replaceAll(/\s+/g, ' ').trim(),
    cpuFlags: readCpuFlags(),
    coreCount: processors.length,
    memoryGib: roundedGib(totalmem()),
    platform: platform(),
    architecture: arch(),
    governor: await readGovernor(),
  };
}

/** SHA-256 of the fingerprint; joins the key of per-machine stages. */
export function fingerprintDigest(fingerprint: MachineFingerprint): string {
  // Spelled out, so that the order of the fields cannot change the digest.
  const fields = [
    fingerprint.cpuModel,
    fingerprint.cpuFlags.join(' '),
    String(fingerprint.coreCount),
    String(fingerprint.memoryGib),
    fingerprint.platform,
    fingerprint.architecture,
    fingerprint.governor ?? '',
  ];
  return createHash('sha256').update(JSON.stringify(fields)).digest('hex');
}

/** The best int8 multiply instructions of this CPU; `unknown` where its flags cannot be read. */
export function cpuInt8Support(): CpuInt8Support {
  return int8SupportOf(readCpuFlags(), arch());
}

/**
 * `vnni` adds four u8*s8 products in 32 bits; `avx2` alone adds two in 16 bits and saturates. `neon`
 * is the dot-product extension every arm64 core of the last years has.
 */
export function int8SupportOf(flags: readonly string[], architecture: string): CpuInt8Support {
  const has = (flag: string): boolean => flags.includes(flag);
  if (architecture === 'arm64') {
    if (flags.length === 0) return 'unknown';
    return has('asimddp') || has('i8mm') ? 'neon' : 'none';
  }
  if (architecture !== 'x64' || flags.length === 0) return 'unknown';
  if (has('avx512_vnni') || has('avx_vnni')) return 'vnni';
  return has('avx2') ? 'avx2' : 'none';
}

/** Whether this CPU multiplies bfloat16 (every one with AMX has the instructions of AVX512 too). */
export function cpuHasBfloat16(): boolean {
  return readCpuFlags().includes('avx512_bf16');
}

export function cpuHasAvx512(): boolean {
  return readCpuFlags().includes('avx512f');
}

function readCpuFlags(): string[] {
  if (platform() === 'linux') return parseCpuInfoFlags(readTextOrEmpty('/proc/cpuinfo'));
  if (platform() === 'darwin') return readMacFlags();
  return [];
}

/** The relevant flags of the first processor in the text of /proc/cpuinfo. */
export function parseCpuInfoFlags(text: string): string[] {
  const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1] ?? '';
  return relevantFlags(line.split(/\s+/));
}

function relevantFlags(flags: readonly string[]): string[] {
  const present = new Set(flags);
  return RELEVANT_FLAGS.filter((flag) => present.has(flag)).sort();
}

/** `sysctl` names → the names of /proc/cpuinfo. */
const MAC_FLAGS: Readonly<Record<string, string>> = {
  'hw.optional.avx2_0': 'avx2',
  'hw.optional.avx512f': 'avx512f',
  'hw.optional.arm.FEAT_DotProd': 'asimddp',
  'hw.optional.arm.FEAT_I8MM': 'i8mm',
};

function readMacFlags(): string[] {
  let text: string;
  try {
    text = execFileSync('sysctl', ['hw.optional'], { encoding: 'utf8', timeout: 2000 });
  } catch {
    return []; // without sysctl nothing is known, which is an answer of its own
  }
  const present = text.split('\n').flatMap((line) => {
    const [name = '', value = ''] = line.split(':');
    return value.trim() === '1' ? [MAC_FLAGS[name] ?? ''] : [];
  });
  return relevantFlags(present);
}

/** To the nearest quarter of a power of two: 15.5 → 16, 62.7 → 64, 7.7 → 8. */
function roundedGib(bytes: number): number {
  const gib = bytes / 2 ** 30;
  const step = 2 ** (Math.floor(Math.log2(gib)) - 2);
  return Math.round(gib / step) * step;
}

async function readGovernor(): Promise<string | null> {
  try {
    const path = '/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor';
    return (await readFile(path, 'utf8')).trim();
  } catch {
    return null; // virtual machines and other systems have no such file
  }
}

function readTextOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // a container may hide it: then the flags are unknown
  }
}

/** What the machine did while something was measured. */
export interface LoadReport {
  /** Of all cores' time, what other processes used. */
  readonly otherBusyFraction: number;
  /** Of all cores' time, what this process used. */
  readonly ownBusyFraction: number;
  /** Over 1, 5 and 15 minutes, at the end; all 0 on Windows. */
  readonly loadAverage: readonly number[];
}

/**
 * Starts to watch; the returned function tells what happened since. The load average alone would
 * not do: it still holds the training that the same run has just finished.
 */
export function watchLoad(): () => LoadReport {
  const systemStart = systemTimes();
  const ownStart = process.cpuUsage();
  return () => {
    const systemEnd = systemTimes();
    const own = process.cpuUsage(ownStart);
    const totalMs = systemEnd.totalMs - systemStart.totalMs;
    const busyMs = systemEnd.busyMs - systemStart.busyMs;
    const ownMs = (own.user + own.system) / 1000;
    const fractionOf = (ms: number): number =>
      totalMs > 0 ? Math.min(1, Math.max(0, ms / totalMs)) : 0;
    return {
      otherBusyFraction: fractionOf(busyMs - ownMs),
      ownBusyFraction: fractionOf(ownMs),
      loadAverage: loadavg(),
    };
  };
}

function systemTimes(): { totalMs: number; busyMs: number } {
  let totalMs = 0;
  let idleMs = 0;
  for (const { times } of cpus()) {
    totalMs += times.user + times.nice + times.sys + times.irq + times.idle;
    idleMs += times.idle;
  }
  return { totalMs, busyMs: totalMs - idleMs };
}
