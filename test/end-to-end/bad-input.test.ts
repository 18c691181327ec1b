import { createHash } from 'node:crypto';
import { mkdir, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { pack, type Header } from 'tar-stream';
import {
  checkAll,
  checkBadInput,
  CONCURRENCY,
  ingestPipeline,
  writeDataset,
  type BadInput,
} from '../support/bad-input.ts';
import { makeJpeg, makePngHeader, makeZip } from '../support/picture-fixtures.ts';
import type { Rig } from '../support/rig.ts';

/** A sound data set with one file more, which is deleted to mend it. */
function withFile(file: string, content: string | Uint8Array): Pick<BadInput, 'spoil' | 'mend'> {
  return {
    spoil: async (rig) => {
      await writeDataset(rig);
      await rig.write('p.yaml', ingestPipeline());
      await rig.write(file, content);
    },
    mend: (rig) => rm(rig.path(file)),
  };
}

/** Four images and a label file. */
function withCsv(csv: string, parameters = '{}'): Pick<BadInput, 'spoil'> {
  return {
    spoil: async (rig) => {
      for (const name of ['1', '2', '3', '4']) {
        await rig.write(`data/${name}.jpg`, await makeJpeg(Number(name)));
      }
      await rig.write('outside/x.jpg', await makeJpeg(9));
      await rig.write('labels.csv', 'image,label\n1,a\n');
      await rig.write('data/labels.csv', csv.replace('ROOT', rig.root));
      await rig.write('p.yaml', ingestPipeline(parameters));
    },
  };
}

async function mendCsv(rig: Rig): Promise<void> {
  await rig.write('data/labels.csv', 'image,label\n1,a\n2,b\n3,a\n4,b\n');
  await rig.write('p.yaml', ingestPipeline(`{ ${SETTINGS} }`));
}

/** All of the few images for training. */
const SETTINGS = 'validationFraction: 0, testFraction: 0, minimumImagesPerClass: 1';

async function soundZip(): Promise<Buffer> {
  const names = ['a/1.jpg', 'a/2.jpg', 'b/1.jpg', 'b/2.jpg'];
  return makeZip(
    await Promise.all(names.map(async (name, i) => ({ name, content: await makeJpeg(i + 1) }))),
  );
}

/** An archive as the source. */
function withArchive(file: string, content: Uint8Array, more = ''): Pick<BadInput, 'spoil'> {
  return {
    spoil: async (rig) => {
      await rig.write(file, content);
      await rig.write('p.yaml', ingestPipeline(`{ ${SETTINGS}${more} }`, file));
    },
  };
}

async function mendZip(rig: Rig): Promise<void> {
  await rig.write('d.zip', await soundZip());
  await rig.write('p.yaml', ingestPipeline(`{ ${SETTINGS} }`, 'd.zip'));
}

async function tarGz(
  entries: readonly (readonly [Pick<Header, 'name'> & Partial<Header>, string?])[],
): Promise<Buffer> {
  const tar = pack();
  for (const [header, content] of entries) tar.entry(header, content ?? '');
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar) chunks.push(chunk as Uint8Array); // a tar stream gives bytes
  return gzipSync(Buffer.concat(chunks));
}

const UNSAFE_HINT =
  '(data/unsafe-archive)\n  hint: nothing of it was used; unpack and check it yourself, then give the folder';
const OUTSIDE_HINT =
  '(data/path-outside)\n  hint: label files and images must lie below the source folder, which alone is the input';
const IMAGE_HINT =
  '(data/unreadable-image)\n  hint: mend the data, or set findings.unreadable to exclude or warn';

const cut = (await makeJpeg(50, 300, 300)).subarray(0, 2000);
const image = { name: 'l/x.jpg', content: await makeJpeg(1) };

const FOLDERS: readonly BadInput[] = [
  {
    name: 'a missing folder',
    spoil: (rig) => rig.write('p.yaml', ingestPipeline()),
    exitCode: 2,
    says: `p.yaml:5:31 error pipeline/missing-path
  stage "ingest": input "source": there is no file or folder ROOT/data
  5 |     inputs: { source: { path: data } }
    |                               ~~~~
  hint: paths are relative to the project root; on the command line, to the current folder`,
    mend: writeDataset,
  },
  {
    name: 'an empty class folder',
    spoil: async (rig) => {
      await withFile('data/note.txt', '').spoil(rig);
      await mkdir(rig.path('data/train/c'));
    },
    says: `failed      ingest  class folder train/c has no image (data/small-class)
    class c has 0 training image(s), at least 2 expected (minimumImagesPerClass)
  hint: mend the data, or set findings.smallClasses to warn`,
    mend: (rig) => rm(rig.path('data/train/c'), { recursive: true }),
  },
  {
    name: 'a truncated JPEG',
    ...withFile('data/train/a/cut.jpg', cut),
    says: `failed      ingest  train/a/cut (ROOT/data/train/a/cut.jpg) cannot be read as an image: VipsJpeg: premature end of JPEG image ${IMAGE_HINT}`,
  },
  {
    name: 'a text file named .jpg',
    ...withFile('data/train/a/note.jpg', 'hello\n'),
    says: `failed      ingest  train/a/note (ROOT/data/train/a/note.jpg) cannot be read as an image: Input buffer contains unsupported image format ${IMAGE_HINT}`,
  },
  {
    // It holds no pixels: had it been decoded, it would have been called truncated.
    name: 'a PNG of 30,000 x 30,000',
    ...withFile('data/train/a/huge.png', makePngHeader(30_000, 30_000)),
    says: `failed      ingest  train/a/huge (ROOT/data/train/a/huge.png) is 30000 x 30000: 900 megapixels, the limit is 268 (if the image is meant to be that large, raise the parameter limitMegapixels) ${IMAGE_HINT}`,
  },
  {
    name: 'a link that leaves the folder',
    spoil: async (rig) => {
      await withFile('outside/x.jpg', '').spoil(rig);
      await symlink('../outside', rig.path('data/link'));
    },
    says: `error data/refused-file: ROOT/data/link is a symbolic link out of the folder, to ROOT/outside
hint: a folder used by a stage holds regular files, and links to files inside it`,
    mend: (rig) => rm(rig.path('data/link')),
  },
];

const LABEL_FILES: readonly BadInput[] = [
  {
    name: 'a CSV with unknown columns',
    ...withCsv('foo,bar\n1,2\n'),
    says: /^failed {6}ingest {2}labels\.csv has no column recognised as imageColumn or as labelColumn; its columns are "foo", "bar" \(data\/unknown-column\)\n {2}hint: name the columns with the parameters imageColumn and labelColumn; recognised without are as imageColumn: imagename, .*, id; as labelColumn: retinopathygrade, .*, dx$/,
    mend: mendCsv,
  },
  {
    name: 'a CSV path with ..',
    ...withCsv('image,label\n1,a\n../outside/x.jpg,b\n'),
    says: `failed      ingest  labels.csv:3: "../outside/x.jpg" leaves the source folder ${OUTSIDE_HINT}`,
  },
  {
    name: 'an absolute CSV path',
    ...withCsv('image,label\nROOT/outside/x.jpg,a\n'),
    says: `failed      ingest  labels.csv:2: "ROOT/outside/x.jpg" leaves the source folder ${OUTSIDE_HINT}`,
  },
  {
    name: 'a label file outside the source',
    ...withCsv('image,label\n1,a\n', '{ csv: [{ file: ../labels.csv }] }'),
    says: `failed      ingest  the parameter csv: "../labels.csv" leaves the source folder ${OUTSIDE_HINT}`,
  },
];

const ARCHIVES: readonly BadInput[] = [
  {
    name: 'a zip entry with ..',
    ...withArchive('d.zip', makeZip([{ ...image, name: '../x.jpg' }])),
    says: `failed      ingest  d.zip: entry "../x.jpg" leaves the folder it is unpacked to ${UNSAFE_HINT}`,
  },
  {
    name: 'an absolute zip entry',
    ...withArchive('d.zip', makeZip([{ ...image, name: '/x.jpg' }])),
    says: `failed      ingest  d.zip: entry "/x.jpg" leaves the folder it is unpacked to ${UNSAFE_HINT}`,
  },
  {
    name: 'a zip entry below a link',
    ...withArchive(
      'd.zip',
      makeZip([{ name: 'l', content: Buffer.from('/etc'), mode: 0o120777 }, image]),
    ),
    says: `failed      ingest  d.zip: entry "l" is a link or a device, not a file ${UNSAFE_HINT}`,
  },
  {
    name: 'a tar.gz entry below a link',
    ...withArchive(
      'd.tar.gz',
      await tarGz([[{ name: 'l', type: 'symlink', linkname: '/etc' }], [{ name: 'l/x.jpg' }, 'x']]),
    ),
    says: `failed      ingest  d.tar.gz: entry "l" is a symlink, not a file ${UNSAFE_HINT}`,
  },
  {
    name: 'a tar.gz entry with ..',
    ...withArchive('d.tar.gz', await tarGz([[{ name: '../x.jpg' }, 'x']])),
    says: `failed      ingest  d.tar.gz: entry "../x.jpg" leaves the folder it is unpacked to ${UNSAFE_HINT}`,
  },
  {
    name: 'a truncated zip',
    ...withArchive('d.zip', (await soundZip()).subarray(0, 600)),
    says: /^failed {6}ingest {2}d\.zip cannot be unpacked: End of central directory record signature not found\..*\(data\/invalid-archive\)\n {2}hint: expected a complete zip, tar or tar\.gz file$/,
  },
  {
    name: 'a wrong sha256 of a local archive',
    ...withArchive('d.zip', await soundZip(), `, sha256: ${'a'.repeat(64)}`),
    says: `failed      ingest  d.zip has SHA-256 ${sha256(await soundZip())}, expected ${'a'.repeat(64)} (data/wrong-sha256)
  hint: the file was changed or damaged; check its source, then correct the parameter sha256`,
    mend: mendZip,
  },
];

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

checkAll('bad folders', FOLDERS);
checkAll('bad label files', LABEL_FILES);
checkAll('bad archives', ARCHIVES);

test('bad downloads', { concurrency: CONCURRENCY }, async (t) => {
  const zip = await soundZip();
  const server = createServer(({ url }, response) => {
    if (url === '/d.zip') return response.end(zip);
    if (url === '/none.zip') return response.writeHead(404).end();
    response.writeHead(200, { 'content-length': zip.length * 2 });
    return response.write(zip, () => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  // A listening TCP server has an address with a port.
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const write = (rig: Rig, path: string, digest: string): Promise<string> =>
    rig.write(
      'p.yaml',
      ingestPipeline(`{ ${SETTINGS}, url: '${base}${path}', sha256: ${digest} }`, null),
    );
  const downloads = [
    ['a wrong sha256', '/d.zip', 'a'.repeat(64), `has SHA-256 ${sha256(zip)}, expected a{64} `],
    ['a 404', '/none.zip', sha256(zip), 'cannot be downloaded: the server answered 404 Not Found '],
    ['a server that cuts off', '/cut.zip', sha256(zip), 'cannot be downloaded: other side closed '],
  ] as const;
  await Promise.all(
    downloads.map(([name, path, digest, reason], i) => {
      const bad: BadInput = {
        name,
        spoil: (rig) => write(rig, path, digest),
        says: new RegExp(`^failed {6}ingest {2}${base}${path} ${reason}\\(data/.*\\)\n {2}hint: `),
        ...(i > 0 ? {} : { mend: (rig: Rig) => write(rig, '/d.zip', sha256(zip)) }),
      };
      return t.test(name, (context) => checkBadInput(context, bad));
    }),
  );
});
