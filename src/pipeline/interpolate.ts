import { nameHint } from '../diagnostics/nearest-name.ts';
import type { Located, LocatedEntry, LocatedScalar } from './located.ts';
import type { Problems } from './problems.ts';
import type { MatrixScalar } from './spec.ts';
import { parseTemplate, type TemplatePart } from './template.ts';

/** What `${…}` may refer to at some place of the pipeline. */
export interface Scope {
  /** Already free of references. */
  readonly vars: ReadonlyMap<string, Located>;
  readonly matrix:
    | 'not-here'
    | {
        readonly cell: Readonly<Record<string, MatrixScalar>>;
        /** Of the stage: a cell that `include` adds may lack some. */
        readonly axes: ReadonlySet<string>;
        /** `unknown`: something above is wrong and reported, so nothing is said of axes not in `axes`. */
        readonly otherAxes: 'none' | 'unknown';
        readonly advice?: string;
      };
  /** Names that `${inputs.x}` and `${outputs.x}` may use: they are kept for the stage to replace. */
  readonly runTime?: {
    readonly inputs: ReadonlySet<string>;
    readonly outputs: ReadonlySet<string>;
  };
}

/** The value with every `${…}` replaced; parts that cannot be are reported and unknown. */
export function interpolate(value: Located, scope: Scope, problems: Problems): Located {
  switch (value.type) {
    case 'list':
      return { ...value, items: value.items.map((item) => interpolate(item, scope, problems)) };
    case 'map': {
      const entries = new Map<string, LocatedEntry>();
      for (const [key, entry] of value.entries) {
        entries.set(key, { key: entry.key, value: interpolate(entry.value, scope, problems) });
      }
      return { ...value, entries };
    }
    case 'scalar':
      return typeof value.value === 'string' && value.value.includes('${')
        ? interpolateText(value, value.value, scope, problems)
        : value;
    case 'unknown':
      return value;
  }
}

function interpolateText(
  value: LocatedScalar,
  text: string,
  scope: Scope,
  problems: Problems,
): Located {
  const parts = parseTemplate(text);
  const first = parts[0];
  if (parts.length === 1 && first?.type === 'reference') {
    return lookUp(first, value, scope, problems);
  }
  const texts = parts.map((part) => partText(part, value, scope, problems));
  if (texts.includes(undefined)) return { type: 'unknown', origin: value.origin };
  const references = parts.flatMap((part) => (part.type === 'reference' ? [part.text] : []));
  const via =
    references.length === 0
      ? {}
      : { via: { reference: references.join(', '), source: value.origin } };
  return { type: 'scalar', value: texts.join(''), origin: value.origin, ...via };
}

function partText(
  part: TemplatePart,
  value: LocatedScalar,
  scope: Scope,
  problems: Problems,
): string | undefined {
  if (part.type === 'text') return literal(part.text, value, scope, problems);
  if (part.type === 'invalid') {
    problems.add({
      code: 'pipeline/invalid-reference',
      message: `"${part.text}" is not a reference: ${part.reason}`,
      origin: problems.narrow(value.origin, part.text),
      hint: 'write "$${" for a literal "${"',
    });
    return undefined;
  }
  const found = lookUp(part, value, scope, problems);
  if (found.type === 'unknown') return undefined;
  if (found.type === 'scalar' && found.value !== null) return String(found.value);
  problems.add({
    code: 'pipeline/invalid-value',
    message: `${part.text} is ${found.type === 'scalar' ? 'null' : 'a list'} and cannot be part of a text`,
    origin: problems.narrow(value.origin, part.text),
    hint: 'a reference keeps its type only when it is the whole value',
  });
  return undefined;
}

/** `text` unless the stage would take it for a reference that it replaces at run time. */
function literal(
  text: string,
  { origin }: LocatedScalar,
  scope: Scope,
  problems: Problems,
): string | undefined {
  const match = scope.runTime === undefined ? null : /\$\{(inputs|outputs)\./.exec(text);
  if (match === null) return text;
  problems.add({
    code: 'pipeline/invalid-reference',
    message: `a literal "${match[0]}" cannot be written here: the stage would replace it`,
    origin,
    hint: 'put the text into a file and give that as an input',
  });
  return undefined;
}

function lookUp(
  part: TemplatePart & { type: 'reference' },
  value: LocatedScalar,
  scope: Scope,
  problems: Problems,
): Located {
  const { origin } = value;
  const unknown: Located = { type: 'unknown', origin };
  const refuse = (code: string, message: string, hint: string | undefined): Located => {
    problems.add({ code, message, origin: problems.narrow(origin, part.text), hint });
    return unknown;
  };
  switch (part.namespace) {
    case 'vars': {
      const found = scope.vars.get(part.name);
      if (found === undefined) {
        const hint = nameHint(part.name, scope.vars.keys());
        return refuse('pipeline/unknown-var', `there is no var "${part.name}"`, hint);
      }
      const via = { reference: part.text, source: found.via?.source ?? found.origin };
      if (found.type === 'scalar' && typeof found.value === 'string') {
        const text = literal(found.value, value, scope, problems);
        return text === undefined ? unknown : { ...found, origin, via };
      }
      return { ...found, origin, via };
    }
    case 'matrix':
      return lookUpAxis(part, scope.matrix, value, refuse);
    case 'inputs':
    case 'outputs': {
      if (scope.runTime === undefined) {
        return refuse(
          'pipeline/invalid-reference',
          `${part.text} can be used only in parameters of a stage whose ${part.namespace} the pipeline declares`,
          'stage kind "command" is such a kind',
        );
      }
      const names = scope.runTime[part.namespace];
      return names.has(part.name)
        ? { type: 'scalar', value: part.text, origin }
        : refuse(
            `pipeline/unknown-${part.namespace.slice(0, -1)}`,
            `the stage has no ${part.namespace.slice(0, -1)} "${part.name}"`,
            nameHint(part.name, names),
          );
    }
    default:
      return refuse(
        'pipeline/invalid-reference',
        `"${part.text}" is not a reference: it must be \${vars.NAME} or \${matrix.AXIS}`,
        nameHint(part.namespace, ['vars', 'matrix', 'inputs', 'outputs']),
      );
  }
}

function lookUpAxis(
  part: TemplatePart & { type: 'reference' },
  matrix: Scope['matrix'],
  { origin }: LocatedScalar,
  refuse: (code: string, message: string, hint: string | undefined) => Located,
): Located {
  if (matrix === 'not-here') {
    return refuse('pipeline/invalid-reference', `${part.text} cannot be used here`, undefined);
  }
  const found = Object.hasOwn(matrix.cell, part.name) ? matrix.cell[part.name] : undefined;
  if (found === undefined && matrix.otherAxes === 'unknown') return { type: 'unknown', origin };
  if (found === undefined && matrix.axes.has(part.name)) {
    const coordinates = Object.entries(matrix.cell).map(([axis, value]) => `${axis}=${value}`);
    const message = `the cell ${coordinates.join(',')} has no value of the axis "${part.name}"`;
    return refuse('pipeline/unknown-axis', message, 'give it one with "include"');
  }
  if (found === undefined) {
    const hint =
      nameHint(part.name, matrix.axes) ??
      matrix.advice ??
      'neither the stage nor what it depends on has a matrix';
    return refuse('pipeline/unknown-axis', `there is no matrix axis "${part.name}" here`, hint);
  }
  const via = { reference: part.text, source: origin };
  return { type: 'scalar', value: found, origin, via };
}
