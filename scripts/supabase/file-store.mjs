// Where the local Storage keeps its bytes: one file and one note per object, named by the hash of its key, so that any key
// fits any file system. lite's own store loses the content type and, on Node 20, answers downloads with no bytes.

import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** The adapter lite's Storage asks for; its `version` arguments are ignored: an object is replaced in place. */
export class FileStore {
  driver = null;

  constructor(folder) {
    this.folder = folder;
  }

  async uploadObject(bucket, key, _version, body, contentType, cacheControl) {
    const file = this.#fileOf(bucket, key);
    await mkdir(path.dirname(file), { recursive: true });
    const incoming = `${file}.${randomUUID()}.new`;
    const digest = createHash('md5');
    let size = 0;
    const measure = new Transform({
      transform(chunk, _encoding, done) {
        digest.update(chunk);
        size += chunk.length;
        done(null, chunk);
      },
    });
    try {
      await pipeline(readableOf(body), measure, createWriteStream(incoming));
      await rename(incoming, file);
    } catch (error) {
      await rm(incoming, { force: true });
      throw error;
    }
    return this.#writeNote(file, { mimetype: contentType, cacheControl, size, eTag: `"${digest.digest('hex')}"` });
  }

  async getObject(bucket, key) {
    const file = this.#fileOf(bucket, key);
    const metadata = await this.#readNote(file);
    // Without a body lite answers 404.
    if (!metadata) return { httpStatusCode: 404, metadata: {} };
    return { httpStatusCode: 200, metadata, body: Readable.toWeb(createReadStream(file)) };
  }

  async headObject(bucket, key) {
    return this.#readNote(this.#fileOf(bucket, key));
  }

  async deleteObject(bucket, key) {
    const file = this.#fileOf(bucket, key);
    await rm(`${file}.json`, { force: true });
    await rm(file, { force: true });
  }

  async deleteObjects(bucket, keys) {
    for (const key of keys) await this.deleteObject(bucket, key);
  }

  async copyObject(bucket, key, _version, toBucket, toKey) {
    const from = this.#fileOf(bucket, key);
    const to = this.#fileOf(toBucket, toKey);
    await mkdir(path.dirname(to), { recursive: true });
    await copyFile(from, to);
    const note = await this.#writeNote(to, await this.#readNote(from));
    return { httpStatusCode: 200, eTag: note.eTag, lastModified: note.lastModified };
  }

  async privateAssetUrl(bucket, key) {
    return `file://${this.#fileOf(bucket, key)}`;
  }

  #fileOf(bucket, key) {
    const name = createHash('sha256').update(`${bucket}/${key}`).digest('hex');
    return path.join(this.folder, name.slice(0, 2), name);
  }

  async #writeNote(file, { mimetype, cacheControl, size, eTag }) {
    const note = { mimetype, cacheControl, size, eTag, lastModified: new Date().toISOString() };
    const incoming = `${file}.${randomUUID()}.new`;
    await writeFile(incoming, JSON.stringify(note));
    await rename(incoming, `${file}.json`);
    return this.#readNote(file);
  }

  async #readNote(file) {
    try {
      const note = JSON.parse(await readFile(`${file}.json`, 'utf8'));
      return { ...note, contentLength: note.size, lastModified: new Date(note.lastModified) };
    } catch (error) {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    }
  }
}

function readableOf(body) {
  if (body instanceof Uint8Array) return Readable.from([body]);
  if (body instanceof Blob) return Readable.fromWeb(body.stream());
  return Readable.fromWeb(body);
}
