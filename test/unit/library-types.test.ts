import assert from 'node:assert/strict';
import { execa } from 'execa';
import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { packageRoot } from '../../src/runtime/package-root.ts';
import { temporaryFolder } from '../support/stage-context.ts';

/** Each export has the type that TypeScript finds, which its declaration has to name. */
const CONSUMER = `
import * as drq from 'drq';
import { calibrateModel, createRandom, defineStage, quantizeModel } from 'drq';
import { decodeOnnx, encodeOnnx, readCalibrationTable, readMetricsFile, readOnnx, z } from 'drq';

export const quantized = async () => await quantizeModel('a', { images: [] });
export const floatNodes = async () => (await quantized()).floatNodes;
export const floatNode = async () => (await floatNodes())[0]!;
export const ranges = async () => (await quantized()).ranges;
export const range = async () => (await ranges())['a']!;
export const report = async () => (await quantized()).report;
export const settings = async () => (await report()).settings;
export const fidelity = async () => (await report()).fidelity;
export const layer = async () => (await report()).layers[0]!;
export const proof = async () => (await report()).worstPairSum;
export const mixed = async () => (await report()).mixedPrecision!;
export const mixedStep = async () => (await mixed()).steps[0]!;
export const times = async () => (await report()).operatorTimes!;
export const time = async () => (await times())[0]!;
export const sensitivity = async () => (await report()).sensitivity!;
export const sensitiveLayer = async () => (await sensitivity()).layers[0]!;
export const sensitiveTensor = async () => (await sensitivity()).tensors[0]!;
export const model = async () => await readOnnx('a');
export const bytes = async () => encodeOnnx(await model());
export const decoded = async () => decodeOnnx(await bytes(), 'a');
export const graph = async () => (await model()).graph!;
export const node = async () => (await graph()).node[0]!;
export const attribute = async () => (await node()).attribute[0]!;
export const weights = async () => (await graph()).initializer[0]!;
export const sparse = async () => (await graph()).sparseInitializer[0]!;
export const value = async () => (await graph()).input[0]!;
export const valueType = async () => (await value()).type!;
export const inner = async () => (await valueType()).value;
export const opset = async () => (await model()).opsetImport[0]!;
export const training = async () => (await model()).trainingInfo[0]!;
export const functions = async () => (await model()).functions[0]!;
export const metadata = async () => (await model()).metadataProps[0]!;
export const annotation = async () => (await graph()).quantizationAnnotation[0]!;
export const segment = async () => (await weights()).segment!;
export const calibrated = async () => await calibrateModel('a', { images: [] });
export const table = async () => await readCalibrationTable('a');
export const tableSelection = async () => (await table()).selection!;
export const metrics = async () => await readMetricsFile('a');
export const metric = async () => (await metrics()).values[0]!;
export const random = createRandom(1, 'a');
type Options = Parameters<typeof quantizeModel>[1];
export const onProgress = (...[progress]: Parameters<NonNullable<Options['onProgress']>>) => progress;
export const choices = (options: Options) => ({ ...options });
export const folder = (options: Options) => options.images;
export const stage = defineStage({
  ...{ kind: 'a', version: 1, description: 'a', parameters: z.strictObject({ a: z.int() }) },
  ...{ inputs: {}, outputs: {}, runtimes: [], cache: 'content', scheduling: 'parallel' },
  ...{ defaultCpuCount: 1, isolation: 'in-process', run: () => Promise.resolve() },
});
export const definition = (x: drq.StageNode) => x.definition;
export const nodeInput = (x: drq.StageNode) => x.inputs['a']!;
export const nodeOutput = (x: drq.StageNode) => x.outputs['a']!;
export const pipelineParts = (x: drq.Pipeline) => ({ ...x });
export const event = (x: drq.RunEvent) => x;
export const error = (x: drq.PipelineError) => x.diagnostics;
`;

const OPTIONS = {
  ...{ strict: true, module: 'nodenext', target: 'es2023', types: ['node'] },
  ...{ declaration: true, outDir: 'out', preserveSymlinks: true, skipLibCheck: true },
};

test('a TypeScript package with declarations can name every type that it gets', async (t) => {
  const folder = await temporaryFolder(t);
  const root = packageRoot();
  const installed = join(folder, 'node_modules', 'drq');
  await mkdir(join(installed, 'artifacts', 'build'), { recursive: true });
  await cp(join(root, 'package.json'), join(installed, 'package.json'));
  await cp(join(root, 'artifacts/build/src'), join(installed, 'artifacts/build/src'), {
    recursive: true,
    filter: (path) => !path.endsWith('.js') && !path.endsWith('.map'),
  });
  for (const name of ['zod', '@bufbuild', '@types']) {
    await symlink(join(root, 'node_modules', name), join(folder, 'node_modules', name));
  }
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  await writeFile(join(folder, 'consumer.ts'), CONSUMER);
  const config = { compilerOptions: OPTIONS, files: ['consumer.ts'] };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
  const compiler = createRequire(import.meta.url).resolve('typescript/package.json');
  const arguments_ = [join(dirname(compiler), 'bin', 'tsc'), '-p', folder];
  const { stdout, exitCode } = await execa(process.execPath, arguments_, { reject: false });
  assert.equal(stdout, '');
  assert.equal(exitCode, 0);
});
