import { StageError } from '../../src/diagnostics/errors.ts';

export interface PlaceholderPaths {
  readonly inputs: Readonly<Record<string, string>>;
  readonly outputs: Readonly<Record<string, string>>;
}

const PLACEHOLDER = /\$\{(inputs|outputs)\.([^}]*)\}/g;

/**
 * `text` with every `${inputs.name}` and `${outputs.name}` replaced by its path; other text, other
 * `${…}` included, stays as it is. @throws StageError `command/unknown-placeholder`.
 */
export function fillPlaceholders(text: string, paths: PlaceholderPaths): string {
  return text.replaceAll(PLACEHOLDER, (whole, group: 'inputs' | 'outputs', name: string) => {
    const known = paths[group];
    if (Object.hasOwn(known, name)) return known[name]!; // just asked
    const names = Object.keys(known);
    throw new StageError({
      code: 'command/unknown-placeholder',
      message: `"${whole}" names no ${group === 'inputs' ? 'input' : 'output'} of this stage; it has ${names.length === 0 ? 'none' : names.join(', ')}`,
      hint: `declare "${name}" under the stage's ${group}, or correct the name`,
    });
  });
}

/** Names of the outputs that any of `texts` mentions. */
export function mentionedOutputs(texts: readonly string[]): Set<string> {
  const names = new Set<string>();
  for (const text of texts) {
    for (const [, group, name] of text.matchAll(PLACEHOLDER)) {
      if (group === 'outputs' && name !== undefined) names.add(name);
    }
  }
  return names;
}
