// The independent client, for tests/test_hub_server_javascript.py: carries out one call and prints its result as JSON.
// argv: the folder that holds node_modules, and {"call": NAME, ...arguments} as JSON.
import { createRequire } from "node:module";
import { openAsBlob } from "node:fs";
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";

const [folder, request] = process.argv.slice(2);
const client = createRequire(join(resolve(folder), "any.js"))("@huggingface/hub");
const { call, ...given } = JSON.parse(request);

async function all(entries) {
	const found = [];
	for await (const entry of entries) found.push(entry);
	return found;
}

async function download(params) {
	const blob = await client.downloadFile({ ...params, xet: false });
	if (blob === null) return null;
	const content = Buffer.from(await blob.arrayBuffer());
	return { size: content.length, sha256: createHash("sha256").update(content).digest("hex") };
}

async function upload({ files, ...params }) {
	const blobs = await Promise.all(
		Object.entries(files).map(async ([path, local]) => ({ path, content: await openAsBlob(local) })),
	);
	return client.uploadFiles({ ...params, files: blobs, useXet: params.useXet ?? false });
}

const calls = {
	...client,
	listFiles: (params) => all(client.listFiles(params)),
	listModels: (params) => all(client.listModels(params)),
	listCommits: (params) => all(client.listCommits(params)),
	download,
	upload,
};

try {
	console.log(JSON.stringify({ result: (await calls[call](given)) ?? null }));
} catch (error) {
	console.log(JSON.stringify({ error: error.message, status: error.statusCode ?? null }));
}
