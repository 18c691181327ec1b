import { z } from 'zod';

export const importParameters = z.strictObject({});
