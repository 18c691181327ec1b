import { createRequire } from 'node:module';

/**
 * Walks a zip file and calls `take(target, stream)` for each file entry that `targetPath` names a
 * target for, one after another. yauzl is one of the packages that `npm ci` brings: loaded here
 * from `from`, the place of a file whose node_modules hold it, only when it is needed.
 */
export async function readZip(from, file, targetPath, take) {
  const yauzl = createRequire(from)('yauzl');
  const zip = await new Promise((resolve, reject) => {
    yauzl.open(file, { lazyEntries: true, autoClose: false }, (error, opened) =>
      error === null ? resolve(opened) : reject(error),
    );
  });
  try {
    await new Promise((resolve, reject) => {
      zip.on('error', reject);
      zip.on('end', resolve);
      zip.on('entry', (entry) => {
        const target = entry.fileName.endsWith('/') ? undefined : targetPath(entry.fileName);
        if (target === undefined) {
          zip.readEntry();
          return;
        }
        zip.openReadStream(entry, (error, stream) => {
          if (error) reject(error);
          else take(target, stream).then(() => zip.readEntry(), reject);
        });
      });
      zip.readEntry();
    });
  } finally {
    zip.close();
  }
}
