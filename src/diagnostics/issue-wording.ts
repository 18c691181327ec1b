import type { z } from 'zod';

export type Issue = z.core.$ZodIssue;

const TYPE_WORDS: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  tuple: 'a list',
  object: 'a mapping',
  record: 'a mapping',
  null: 'null',
};

/** What a schema expected, as the rest of a sentence: `must be a whole number`. */
export function expectation(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${TYPE_WORDS[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return `must be ${orList(issue.values.map(String))}`;
    case 'too_small':
      return `must ${limit(issue.origin, issue.inclusive === false ? 'more than' : 'at least', Number(issue.minimum))}`;
    case 'too_big':
      return `must ${limit(issue.origin, issue.inclusive === false ? 'less than' : 'at most', Number(issue.maximum))}`;
    case 'not_multiple_of':
      return `must be a multiple of ${issue.divisor}`;
    case 'invalid_union':
      return unionExpectation(issue);
    case 'invalid_format':
      return issue.message.startsWith('Invalid string: must match pattern')
        ? `must match the pattern ${issue.pattern ?? ''}`
        : asRest(issue.message);
    default:
      return asRest(issue.message);
  }
}

/** `tables.main.rows[0].labels`. */
export function pathText(path: readonly PropertyKey[]): string {
  return path
    .map((step, index) =>
      typeof step === 'number' ? `[${step}]` : `${index === 0 ? '' : '.'}${String(step)}`,
    )
    .join('');
}

/** `a`, `a or b`, `a, b or c`. */
export function orList(words: readonly string[]): string {
  const last = words.at(-1) ?? '';
  return words.length < 2 ? last : `${words.slice(0, -1).join(', ')} or ${last}`;
}

function limit(origin: string, relation: string, bound: number): string {
  if (origin === 'string') {
    if (relation === 'at least' && bound === 1) return 'not be empty';
    return `have ${relation} ${bound} ${bound === 1 ? 'character' : 'characters'}`;
  }
  if (origin === 'array' || origin === 'set') {
    return `have ${relation} ${bound} ${bound === 1 ? 'entry' : 'entries'}`;
  }
  return `be ${relation} ${bound}`;
}

function unionExpectation(issue: Issue & { code: 'invalid_union' }): string {
  // Its own text stands when the schema gives one; zod's says nothing.
  if (issue.message !== 'Invalid input' && issue.errors.length > 0) return asRest(issue.message);
  if ('options' in issue && Array.isArray(issue.options)) {
    return `must be ${orList(issue.options.map(String))}`;
  }
  const parts = issue.errors.flatMap((branch) => branch.slice(0, 1).map(expectation));
  return `must be ${orList([...new Set(parts)].map((part) => part.replace(/^must be /, '')))}`;
}

/** A message of a schema's own, made to follow the subject. */
function asRest(message: string): string {
  return /^(must|may|cannot|needs?|is|has)\b/.test(message) ? message : `is not valid: ${message}`;
}
