import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import process from 'node:process';

// npm runs this before the install scripts of drq's dependencies when the packed drq is installed.
// The one of onnxruntime-node downloads some hundred megabytes of CUDA libraries, which drq never
// loads, from a host of its own, and the whole installation fails where that cannot be reached. It
// does nothing when the files are there: so empty ones are put in their places.
const require = createRequire(import.meta.url);

try {
  const folder = dirname(require.resolve('onnxruntime-node/package.json'));
  const { requirements, manifests } = require(join(folder, 'script', 'install-metadata.js'));
  const platform = `${process.platform}/${process.arch}`;
  const files = (requirements[platform] ?? []).flatMap((name) =>
    Object.keys(manifests[`${platform}:${name}`] ?? {}),
  );
  for (const file of files) {
    const path = join(folder, 'bin', 'napi-v6', platform, file);
    mkdirSync(dirname(path), { recursive: true });
    if (!existsSync(path)) writeFileSync(path, '');
  }
} catch {
  // In a checkout the packages come after this script; and a download more is no reason to fail.
}
