import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { compiledMain, projectFolder } from './project.js';

/** Runs one command line of `drq` in this process and returns its exit code. */
export async function launch(argv) {
  if (!existsSync(compiledMain)) {
    // Sources are in a checkout only, not in an installed package.
    const isCheckout = existsSync(join(projectFolder, 'tsconfig.json'));
    if (argv[0] === 'setup' && argv.length === 1 && isCheckout) {
      const { runSetupCommand } = await import('./commands.js');
      return await runSetupCommand(['setup']);
    }
    console.error(
      'error: drq is not built\n' +
        `  hint: run \`npm start\` or \`npm run build\` in ${projectFolder}`,
    );
    return 1;
  }
  const { main } = await import(pathToFileURL(compiledMain).href);
  return await main(argv);
}
