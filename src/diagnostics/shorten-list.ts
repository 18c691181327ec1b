/** The first `most` of some texts, and how many more there are: `a, b and 3 more`. */
export function shortenList(texts: readonly string[], most: number, separator = ', '): string {
  const shown = texts.slice(0, most).join(separator);
  return texts.length > most ? `${shown} and ${texts.length - most} more` : shown;
}
