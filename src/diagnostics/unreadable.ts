const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EISDIR: 'it is a folder',
  EACCES: 'its permissions forbid it',
  EPERM: 'its permissions forbid it',
};

/** Why a file at a wrong path cannot be read; null for errors that the path has no part in. */
export function unreadableReason(error: unknown): string | null {
  if (!(error instanceof Error && 'code' in error)) return null;
  return REASONS[String(error.code)] ?? null;
}
