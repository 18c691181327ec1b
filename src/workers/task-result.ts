import { failure, success, type Result } from '../diagnostics/diagnostic.ts';
import {
  DataError,
  DrqError,
  InternalError,
  OnnxError,
  StageError,
  type DrqErrorOptions,
} from '../diagnostics/errors.ts';

/** A `DrqError` as plain data: messages between threads lose an error's class and its own fields. */
export interface TaskFailure {
  readonly className: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
}

export type TaskResult<T> = Result<T, TaskFailure>;

/** For the body of a task: what it returns, or its `DrqError` as data. A bug still throws. */
export async function settleTask<T>(body: () => Promise<T>): Promise<TaskResult<T>> {
  try {
    return success(await body());
  } catch (error) {
    if (!(error instanceof DrqError)) throw error;
    const { name, code, message, hint } = error;
    return failure({ className: name, code, message, hint: hint ?? null });
  }
}

/** The value of a task's result. @throws the task's own error, of the class it had in the worker. */
export function unwrapTask<T>(result: TaskResult<T>): T {
  if (result.ok) return result.value;
  const { className, code, message, hint } = result.error;
  const options: DrqErrorOptions = { code, message, ...(hint === null ? {} : { hint }) };
  switch (className) {
    case 'OnnxError':
      throw new OnnxError(options);
    case 'DataError':
      throw new DataError(options);
    case 'InternalError':
      throw new InternalError(message);
    default:
      throw new StageError(options);
  }
}
