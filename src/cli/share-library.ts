import { register } from 'node:module';

/** `kind: ./my-stage.js`, in any of YAML's ways to write it. */
const OWN_KIND = /\bkind['"]?\s*:\s*['"]?\.{1,2}\//;

/** Whether a pipeline has stage kinds of the user's own; at worst a comment is taken for one. */
export function hasOwnKinds(pipelineText: string): boolean {
  return OWN_KIND.test(pipelineText);
}

let isShared = false;

/**
 * Makes `import … from 'drq'` in a module of the user's mean the drq that is running. Node would look
 * in the node_modules above that module: in vain when drq is installed globally, and where it finds
 * another copy, its error classes are not ours.
 */
export function shareLibrary(): void {
  if (isShared) return;
  isShared = true;
  const library = new URL('../index.js', import.meta.url).href;
  const hook = `export async function resolve(specifier, context, next) {
    return specifier === 'drq'
      ? { url: ${JSON.stringify(library)}, shortCircuit: true }
      : next(specifier, context);
  }`;
  register(`data:text/javascript,${encodeURIComponent(hook)}`);
}
