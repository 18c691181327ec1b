import { posix } from 'node:path';
import { importLines, type ImportLine } from './import-lines.ts';

const BASE = ['diagnostics', 'numeric'] as const;
const DOMAIN = ['onnx', 'metrics', 'benchmark', 'data', 'quantization', 'models', 'training'];
/** In this order; each may import those before it. */
const ENGINE = ['store', 'pipeline', 'graph', 'plan', 'report', 'execute', 'tables'];

/** Folder of `src/` → the other folders of `src/` it may import. `cli` may import anything. */
export const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  diagnostics: [],
  numeric: ['diagnostics'],
  onnx: BASE,
  metrics: BASE,
  benchmark: BASE,
  data: BASE,
  // It runs models over images, in threads, for the CPU at hand.
  quantization: [...BASE, 'benchmark', 'onnx', 'data', 'metrics', 'runtime', 'workers'],
  models: [...BASE, 'onnx', 'data', 'runtime'],
  // The fastest kernels depend on the CPU at hand.
  training: [...BASE, 'benchmark', 'onnx', 'data', 'metrics', 'runtime', 'models'],
  runtime: BASE,
  workers: [...BASE, 'data', 'runtime'],
  'workers/tasks': [...BASE, ...DOMAIN, 'runtime', 'workers'],
  stage: BASE,
  ...Object.fromEntries(
    ENGINE.map((folder, position) => [
      folder,
      // `runtime` for the package's own folder and versions.
      [...BASE, 'stage', 'runtime', ...ENGINE.slice(0, position)],
    ]),
  ),
};
const STAGE_MAY_IMPORT = [...BASE, ...DOMAIN, 'stage', 'workers', 'runtime'];

interface Quarantine {
  readonly packageName: string;
  readonly allowed: readonly string[];
  /** Types cost nothing at run time. */
  readonly types: 'free' | 'quarantined';
}

/** Packages that only the named files of `src/` and `stages/` may import. */
export const QUARANTINED: readonly Quarantine[] = [
  {
    packageName: 'yaml',
    allowed: ['src/pipeline/pipeline-file.ts', 'src/store/lock-file.ts'],
    types: 'quarantined',
  },
  { packageName: 'piscina', allowed: ['src/workers/pool.ts'], types: 'quarantined' },
  {
    packageName: 'onnxruntime-node',
    allowed: ['src/runtime/onnx-session.ts'],
    types: 'quarantined',
  },
  { packageName: 'echarts', allowed: ['src/runtime/render-chart.ts'], types: 'quarantined' },
  {
    packageName: '@tensorflow/tfjs-node',
    allowed: ['src/runtime/tensorflow.ts'],
    types: 'free',
  },
];

/** What `import … from 'drq'` gives has to stand in one file. */
const PACKAGE_ENTRY = 'src/index.ts';

export const LONGEST_FILE = 400;
/** Tables and generated files, which have no idea to be split by. */
const LENGTH_EXEMPT = ['src/onnx/generated/onnx_pb.ts'];

const MAY_PRINT = ['src/cli/', 'src/report/', 'test/benchmarks/'];
const MAY_IMPORT_LAZILY = ['src/cli/', 'src/runtime/', 'stages/registry.ts', 'test/'];

/** Every broken rule of one file, as `path:line: what is wrong`; `path` is relative, with slashes. */
export function violationsOf(path: string, text: string): string[] {
  const lines = importLines(text);
  return [
    ...lines.flatMap((line) => importViolations(path, line)),
    ...barrelViolations(path, text),
    ...lengthViolations(path, text),
    ...consoleViolations(path, text),
  ];
}

function importViolations(path: string, line: ImportLine): string[] {
  const at = `${path}:${line.line}:`;
  const problems: string[] = [];
  if (line.form === 'dynamic' && !isBelow(path, MAY_IMPORT_LAZILY)) {
    problems.push(`${at} imports '${line.specifier}' lazily; only cli, runtime and registry may`);
  }
  if (!line.specifier.startsWith('.')) {
    if (!path.startsWith('test/')) problems.push(...packageViolations(path, line, at));
    return problems;
  }
  const target = posix.join(posix.dirname(path), line.specifier);
  if (!/\.(ts|js)$/.test(target)) problems.push(`${at} '${line.specifier}' lacks its extension`);
  if (path.startsWith('test/')) return problems;
  const reason = whyForbidden(path, target);
  if (reason !== null) problems.push(`${at} imports ${target}; ${reason}`);
  return problems;
}

function packageViolations(path: string, line: ImportLine, at: string): string[] {
  const isNode = line.specifier.startsWith('node:');
  if (/^src\/cli\/(setup\.js|setup\/)/.test(path) && !isNode) {
    return [`${at} imports '${line.specifier}'; the set-up runs before any package is installed`];
  }
  return QUARANTINED.filter(
    ({ packageName, allowed, types }) =>
      (line.specifier === packageName || line.specifier.startsWith(`${packageName}/`)) &&
      !allowed.includes(path) &&
      !(types === 'free' && line.form === 'type'),
  ).map(({ allowed }) => `${at} imports '${line.specifier}'; only ${allowed.join(', ')} may`);
}

/** Null when `target` may be imported from `path`. */
function whyForbidden(path: string, target: string): string | null {
  if (target.startsWith('test/')) return 'nothing imports a test';
  const isRoot = path.startsWith('src/cli/') || path === 'stages/registry.ts';
  if (isRoot) return null;
  if (target === 'stages/registry.ts' || target.startsWith('src/cli/')) {
    return 'nobody imports the composition root but itself';
  }
  if (path === PACKAGE_ENTRY) return null;
  if (target === PACKAGE_ENTRY) return 'import the file that defines the thing';
  if (path.startsWith('stages/')) return whyForbiddenForStage(path, target);
  if (target.startsWith('stages/')) return 'only the composition root imports stages';
  const from = folderOf(path);
  const to = folderOf(target);
  if (from === to) return null;
  const allowed = MAY_IMPORT[from];
  if (allowed === undefined) return `src/${from} has no line in the import table`;
  // Whoever may use the threads may name the types of their tasks.
  const toShared = to === 'workers/tasks' ? 'workers' : to;
  return allowed.includes(toShared) || (from === 'workers' && toShared === 'workers')
    ? null
    : `src/${from} may import only ${allowed.join(', ') || 'nothing of ours'}`;
}

function whyForbiddenForStage(path: string, target: string): string | null {
  if (target.startsWith('stages/')) {
    const kindOf = (file: string): string | undefined => file.split('/')[1];
    return kindOf(path) === kindOf(target) ? null : 'a stage never imports another stage';
  }
  const to = folderOf(target).split('/')[0] ?? '';
  return STAGE_MAY_IMPORT.includes(to)
    ? null
    : `a stage may import only ${STAGE_MAY_IMPORT.join(', ')}`;
}

/** `src/workers/tasks/infer.ts` → `workers/tasks`; else the first folder below `src/`. */
function folderOf(path: string): string {
  const [, first = '', second = ''] = path.split('/');
  return first === 'workers' && second === 'tasks' ? 'workers/tasks' : first;
}

function barrelViolations(path: string, text: string): string[] {
  if (path === PACKAGE_ENTRY) return [];
  if (/(^|\/)index\.[tj]s$/.test(path)) return [`${path}:1: a barrel; import the defining file`];
  const line = text.split('\n').findIndex((content) => content.startsWith('export * from'));
  return line < 0 ? [] : [`${path}:${line + 1}: re-exports everything; import the defining file`];
}

function lengthViolations(path: string, text: string): string[] {
  const count = text.split('\n').length - 1;
  if (count <= LONGEST_FILE || LENGTH_EXEMPT.includes(path)) return [];
  return [`${path}:${LONGEST_FILE + 1}: ${count} lines, more than ${LONGEST_FILE}; split it`];
}

function consoleViolations(path: string, text: string): string[] {
  if (isBelow(path, MAY_PRINT)) return [];
  // Scripts in strings run elsewhere.
  const strings = /`(?:[^`\\]|\\.)*`|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g;
  const code = text.replaceAll(strings, (part) => part.replaceAll(/[^\n]/g, ' '));
  return code
    .split('\n')
    .flatMap((content, i) =>
      /^(?!\s*(\*|\/\/|\/\*)).*\bconsole\.\w+\(/.test(content)
        ? [`${path}:${i + 1}: prints; only ${MAY_PRINT.join(', ')} may`]
        : [],
    );
}

function isBelow(path: string, places: readonly string[]): boolean {
  return places.some((place) => path.startsWith(place));
}
