export type TemplatePart =
  | { readonly type: 'text'; readonly text: string }
  | {
      readonly type: 'reference';
      readonly namespace: string;
      readonly name: string;
      readonly text: string;
    }
  /** `reason` completes `"${…" is not a reference: `. */
  | { readonly type: 'invalid'; readonly text: string; readonly reason: string };

const REFERENCE = /^\s*([A-Za-z]+)\.([A-Za-z][A-Za-z0-9_-]*)\s*$/;

/** The parts of a text with `${namespace.name}` in it; `$${` stands for a literal `${`. */
export function parseTemplate(source: string): TemplatePart[] {
  const parts: TemplatePart[] = [];
  let text = '';
  let at = 0;
  const endText = (): void => {
    if (text !== '') parts.push({ type: 'text', text });
    text = '';
  };
  while (at < source.length) {
    if (source.startsWith('$${', at)) {
      text += '${';
      at += 3;
    } else if (source.startsWith('${', at)) {
      endText();
      const close = source.indexOf('}', at);
      const end = close === -1 ? source.length : close + 1;
      parts.push(parseReference(source.slice(at, end)));
      at = end;
    } else {
      text += source.charAt(at);
      at += 1;
    }
  }
  endText();
  return parts;
}

function parseReference(text: string): TemplatePart {
  if (!text.endsWith('}')) return { type: 'invalid', text, reason: 'the closing "}" is missing' };
  const match = REFERENCE.exec(text.slice(2, -1));
  const [, namespace, name] = match ?? [];
  if (namespace === undefined || name === undefined) {
    return { type: 'invalid', text, reason: 'it must be ${vars.NAME} or ${matrix.AXIS}' };
  }
  return { type: 'reference', namespace, name, text };
}
