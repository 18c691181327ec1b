import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of drq's own package.json: the checkout, or the installed package. */
export const projectFolder = fileURLToPath(new URL('../../..', import.meta.url));

/** Where the compiler writes; the folders below mirror the sources. */
export const buildFolder = join(projectFolder, 'artifacts', 'build');

export const compiledMain = join(buildFolder, 'src', 'cli', 'main.js');
