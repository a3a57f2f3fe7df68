// The server that the conformance scenarios are run against: with the TypeScript SDK, one MCP server for both eras.
// Names and texts of tools, resources and prompts are what the scenarios ask for.
//   node fixture.mjs        prints its port as the only line on standard output
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

import { NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import {
    acceptedContent,
    classifyInboundRequest,
    CLIENT_CAPABILITIES_META_KEY,
    createMcpHandler,
    createRequestStateCodec,
    fromJsonSchema,
    inputRequired,
    isInitializeRequest,
    McpServer,
    ResourceTemplate
} from '@modelcontextprotocol/server';
import * as z from 'zod/v4';

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
const SILENCE = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=';

const state = createRequestStateCodec({ key: crypto.getRandomValues(new Uint8Array(32)) });

const say = text => ({ content: [{ type: 'text', text }] });
const user = content => ({ role: 'user', content });
const ask = (message, property, type = 'string') =>
    inputRequired.elicit({
        message,
        requestedSchema: { type: 'object', properties: { [property]: { type } }, required: [property] }
    });
const complete = (text, maxTokens) =>
    inputRequired.createMessage({ messages: [user({ type: 'text', text })], maxTokens });
const fresh = about => state.mint({ ...about, nonce: randomUUID() });

function contents(server) {
    const tool = (name, answer, inputSchema = z.object({})) =>
        server.registerTool(name, { description: name.replaceAll('_', ' '), inputSchema }, answer);
    const fixed = (name, content) => tool(name, async () => ({ content }));

    const picture = { type: 'image', data: PIXEL, mimeType: 'image/png' };
    const embedded = (uri, mimeType, text) => ({ type: 'resource', resource: { uri, mimeType, text } });
    fixed('test_simple_text', [{ type: 'text', text: 'This is a simple text response for testing.' }]);
    fixed('test_image_content', [picture]);
    fixed('test_audio_content', [{ type: 'audio', data: SILENCE, mimeType: 'audio/wav' }]);
    fixed('test_embedded_resource', [
        embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')
    ]);
    fixed('test_multiple_content_types', [
        { type: 'text', text: 'Multiple content types test:' },
        picture,
        embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}')
    ]);
    fixed('test_streaming_elicitation', [{ type: 'text', text: 'nothing but this result' }]);
    tool('test_error_handling', async () => {
        throw new Error('This tool intentionally returns an error for testing');
    });
    tool('test_tool_with_logging', async (_, { mcpReq }) => {
        for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
            await mcpReq.notify({ method: 'notifications/message', params: { level: 'info', data } });
        }
        return say('Tool with logging executed successfully');
    });
    tool('test_logging_tool', async (_, { mcpReq }) => {
        await mcpReq.log('info', 'for those who asked for it');
        return say('logged');
    });
    tool('test_tool_with_progress', async (_, { mcpReq }) => {
        const progressToken = mcpReq._meta?.progressToken;
        for (const progress of progressToken === undefined ? [] : [0, 50, 100]) {
            await mcpReq.notify({
                method: 'notifications/progress',
                params: { progressToken, progress, total: 100, message: `step ${progress}` }
            });
        }
        return say(String(progressToken ?? 'no token'));
    });
    tool('test_reconnection', async (_, { mcpReq, sessionId }) => {
        sessions.get(sessionId)?.closeSSEStream(mcpReq.id);
        await new Promise(resolve => setTimeout(resolve, 100));
        return say('Reconnection test completed successfully.');
    });
    asking(tool);
    inputs(tool);

    tool(
        'test_x_mcp_header',
        async ({ region }) => say(`region=${region ?? '<none>'}`),
        fromJsonSchema({
            type: 'object',
            properties: { region: { type: 'string', 'x-mcp-header': 'Region' }, level: { type: 'integer' } }
        })
    );
    tool(
        'json_schema_2020_12_tool',
        async given => say(JSON.stringify(given)),
        fromJsonSchema({
            $schema: 'https://json-schema.org/draft/2020-12/schema',
            type: 'object',
            $defs: {
                address: {
                    $anchor: 'addressDef',
                    type: 'object',
                    properties: { street: { type: 'string' }, city: { type: 'string' } }
                }
            },
            properties: {
                name: { type: 'string' },
                address: { $ref: '#/$defs/address' },
                contactMethod: { type: 'string', enum: ['phone', 'email'] },
                phone: { type: 'string' },
                email: { type: 'string' }
            },
            allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
            if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
            then: { required: ['phone'] },
            else: { required: ['email'] },
            additionalProperties: false
        })
    );
    for (const [kind, changed] of [['tool', 'toolsChanged'], ['prompt', 'promptsChanged']]) {
        tool(`test_trigger_${kind}_change`, async () => {
            modern.notify[changed]();
            return say('published');
        });
    }

    resources(server);
    prompts(server);
    server.server.setRequestHandler('completion/complete', async () => ({
        completion: { values: [], total: 0, hasMore: false }
    }));
    server.server.setRequestHandler('logging/setLevel', async () => ({}));
}

// Tools that put a request of their own to the client of a session.
function asking(tool) {
    const answered = async (mcpReq, request, words) => {
        try {
            return say(words(await mcpReq.send(request)));
        } catch (error) {
            return say(`not answered: ${error.message}`);
        }
    };
    const elicited = ({ action, content }) => `action=${action}, content=${JSON.stringify(content ?? {})}`;
    const elicit = (message, properties, required = []) => ({
        method: 'elicitation/create',
        params: { message, requestedSchema: { type: 'object', properties, required } }
    });
    tool(
        'test_sampling',
        ({ prompt }, { mcpReq }) =>
            answered(
                mcpReq,
                {
                    method: 'sampling/createMessage',
                    params: { messages: [user({ type: 'text', text: prompt })], maxTokens: 100 }
                },
                ({ content }) => `LLM response: ${content?.text}`
            ),
        z.object({ prompt: z.string() })
    );
    tool(
        'test_elicitation',
        ({ message }, { mcpReq }) =>
            answered(
                mcpReq,
                elicit(message, { response: { type: 'string', description: "User's response" } }, ['response']),
                answer => `User response: ${elicited(answer)}`
            ),
        z.object({ message: z.string() })
    );
    tool('test_elicitation_sep1034_defaults', (_, { mcpReq }) =>
        answered(
            mcpReq,
            elicit('Please review the defaults', {
                name: { type: 'string', default: 'John Doe' },
                age: { type: 'integer', default: 30 },
                score: { type: 'number', default: 95.5 },
                status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
                verified: { type: 'boolean', default: true }
            }),
            answer => `Elicitation completed: ${elicited(answer)}`
        )
    );
    const titled = [1, 2, 3].map(n => ({ const: `value${n}`, title: `Option ${n}` }));
    const plain = ['option1', 'option2', 'option3'];
    tool('test_elicitation_sep1330_enums', (_, { mcpReq }) =>
        answered(
            mcpReq,
            elicit('Please select', {
                untitledSingle: { type: 'string', enum: plain },
                titledSingle: { type: 'string', oneOf: titled },
                legacyEnum: {
                    type: 'string',
                    enum: ['opt1', 'opt2', 'opt3'],
                    enumNames: ['Option One', 'Option Two', 'Option Three']
                },
                untitledMulti: { type: 'array', minItems: 1, maxItems: 3, items: { type: 'string', enum: plain } },
                titledMulti: { type: 'array', minItems: 1, maxItems: 3, items: { anyOf: titled } }
            }),
            answer => `Elicitation completed: ${elicited(answer)}`
        )
    );
}

// Tools of the modern era, which answer with what they still need.
function inputs(tool) {
    const round = (name, answer) => tool(`test_input_required_result_${name}`, (_, { mcpReq }) => answer(mcpReq));
    const given = (mcpReq, key, property) => acceptedContent(mcpReq.inputResponses, key)?.[property];

    round('elicitation', async mcpReq => {
        const name = given(mcpReq, 'user_name', 'name');
        if (typeof name === 'string') return say(`Hello, ${name}!`);
        return inputRequired({ inputRequests: { user_name: ask('What is your name?', 'name') } });
    });
    round('sampling', async mcpReq => {
        const answer = mcpReq.inputResponses?.capital_question;
        if (answer) return say(`Sampling response: ${answer.content?.text}`);
        return inputRequired({
            inputRequests: { capital_question: complete('What is the capital of France?', 100) }
        });
    });
    round('list_roots', async mcpReq => {
        const roots = mcpReq.inputResponses?.client_roots?.roots;
        if (Array.isArray(roots)) return say(roots.map(({ uri }) => uri).join(', '));
        return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
    });
    const confirmed = name =>
        round(name, async mcpReq => {
            if (mcpReq.requestState() !== undefined && acceptedContent(mcpReq.inputResponses, 'confirm')) {
                return say('state-ok');
            }
            return inputRequired({
                inputRequests: { confirm: ask('Please confirm', 'ok', 'boolean') },
                requestState: await fresh({ name })
            });
        });
    confirmed('request_state');
    confirmed('tampered_state');
    round('multiple_inputs', async mcpReq => {
        const name = given(mcpReq, 'user_name', 'name');
        const greeting = mcpReq.inputResponses?.greeting?.content?.text;
        const roots = mcpReq.inputResponses?.client_roots?.roots;
        if (name && greeting && roots) return say(`${greeting} ${name}, ${roots.length} root(s)`);
        return inputRequired({
            inputRequests: {
                user_name: ask('What is your name?', 'name'),
                greeting: complete('Generate a greeting', 50),
                client_roots: inputRequired.listRoots()
            },
            requestState: await fresh({ name: 'multiple' })
        });
    });
    round('multi_round', async mcpReq => {
        const { step = 0, name } = mcpReq.requestState() ?? {};
        if (step === 0) {
            return inputRequired({
                inputRequests: { step1: ask('Step 1: What is your name?', 'name') },
                requestState: await fresh({ step: 1 })
            });
        }
        if (step === 1) {
            return inputRequired({
                inputRequests: { step2: ask('Step 2: What is your favorite color?', 'color') },
                requestState: await fresh({ step: 2, name: given(mcpReq, 'step1', 'name') })
            });
        }
        return say(`${name} likes ${given(mcpReq, 'step2', 'color')}`);
    });
    round('capabilities', async mcpReq => {
        if (mcpReq.inputResponses !== undefined) return say('fulfilled');
        const able = mcpReq.envelope?.[CLIENT_CAPABILITIES_META_KEY] ?? {};
        const inputRequests = {};
        if (able.elicitation) inputRequests.user_name = ask('What is your name?', 'name');
        if (able.sampling) inputRequests.greeting = complete('Generate a greeting', 50);
        if (able.roots) inputRequests.client_roots = inputRequired.listRoots();
        return Object.keys(inputRequests).length > 0 ? inputRequired({ inputRequests }) : say('nothing to ask');
    });
    tool('test_missing_capability', async (_, { mcpReq }) => {
        if (mcpReq.inputResponses?.answer) return say('answered');
        return inputRequired({ inputRequests: { answer: complete('Say pong', 16) } });
    });
}

function resources(server) {
    const resource = (name, uri, mimeType, body) =>
        server.registerResource(name, uri, { title: name, description: name, mimeType }, async (at, variables) => ({
            contents: [{ uri: at.toString(), mimeType, ...body(variables) }]
        }));
    const text = text => () => ({ text });
    resource('static-text', 'test://static-text', 'text/plain', text('This is the content of the static text resource.'));
    resource('static-binary', 'test://static-binary', 'image/png', () => ({ blob: PIXEL }));
    resource('watched-resource', 'test://watched-resource', 'text/plain', text('Watched resource content'));
    resource(
        'template',
        new ResourceTemplate('test://template/{id}/data', { list: undefined }),
        'application/json',
        ({ id }) => ({ text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }) })
    );
    for (const method of ['resources/subscribe', 'resources/unsubscribe']) {
        server.server.setRequestHandler(method, async () => ({}));
    }
}

function prompts(server) {
    const prompt = (name, messages, argsSchema) =>
        server.registerPrompt(name, { title: name, description: name, ...(argsSchema && { argsSchema }) }, messages);
    const texts = text => [user({ type: 'text', text })];
    prompt('test_simple_prompt', async () => ({ messages: texts('This is a simple prompt for testing.') }));
    prompt(
        'test_prompt_with_arguments',
        async ({ arg1, arg2 }) => ({ messages: texts(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`) }),
        z.object({ arg1: z.string(), arg2: z.string() })
    );
    prompt(
        'test_prompt_with_embedded_resource',
        async ({ resourceUri: uri }) => ({
            messages: [
                user({ type: 'resource', resource: { uri, mimeType: 'text/plain', text: 'Embedded resource content for testing.' } }),
                ...texts('Please process the embedded resource above.')
            ]
        }),
        z.object({ resourceUri: z.string() })
    );
    prompt('test_prompt_with_image', async () => ({
        messages: [user({ type: 'image', data: PIXEL, mimeType: 'image/png' }), ...texts('Please analyze the image above.')]
    }));
    prompt('test_input_required_result_prompt', async ({ mcpReq }) => {
        const context = acceptedContent(mcpReq.inputResponses, 'user_context')?.context;
        if (typeof context === 'string') return { messages: texts(`Use the following context: ${context}`) };
        return inputRequired({ inputRequests: { user_context: ask('What context should the prompt use?', 'context') } });
    });
}

function newServer() {
    const changing = { listChanged: true };
    const server = new McpServer(
        { name: 'conformance-fixture', version: '1.0.0' },
        {
            capabilities: {
                tools: changing,
                resources: { subscribe: true, ...changing },
                prompts: changing,
                logging: {},
                completions: {}
            },
            requestState: { verify: state.verify }
        }
    );
    contents(server);
    return server;
}

// Events of a session, for clients that come back for what they missed.
function eventStore() {
    const events = [];
    return {
        async storeEvent(streamId, message) {
            const id = `${streamId}::${String(events.length).padStart(9, '0')}`;
            events.push({ id, streamId, message });
            return id;
        },
        async replayEventsAfter(last, { send }) {
            const streamId = last.split('::')[0];
            for (const { id, streamId: of, message } of events) {
                if (of === streamId && id > last && Object.keys(message ?? {}).length > 0) await send(id, message);
            }
            return streamId;
        }
    };
}

const modern = createMcpHandler(newServer);
const serveModern = toNodeHandler(modern);
const sessions = new Map();

function refuse(response, status, code, message) {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ jsonrpc: '2.0', error: { code, message }, id: null }));
}

async function body(request) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    try {
        return JSON.parse(Buffer.concat(chunks).toString('utf8'));
    } catch {
        return undefined;
    }
}

async function serve(request, response) {
    const local = /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/;
    const foreign = value => value !== undefined && !local.test(value.replace(/^https?:\/\//, ''));
    if (foreign(request.headers.host) || foreign(request.headers.origin)) {
        return refuse(response, 403, -32000, 'Forbidden: not a name of this machine');
    }
    const message = request.method === 'POST' ? await body(request) : undefined;
    if (request.method === 'POST' && message === undefined) return refuse(response, 400, -32700, 'Parse error');
    const inbound = classifyInboundRequest({
        httpMethod: request.method,
        protocolVersionHeader: request.headers['mcp-protocol-version'],
        mcpMethodHeader: request.headers['mcp-method'],
        body: message
    });
    if (request.method === 'POST' && inbound.kind !== 'legacy') return serveModern(request, response, message);

    const id = request.headers['mcp-session-id'];
    if (id === undefined && isInitializeRequest(message)) {
        const transport = new NodeStreamableHTTPServerTransport({
            sessionIdGenerator: randomUUID,
            eventStore: eventStore(),
            retryInterval: 500,
            onsessioninitialized: id => sessions.set(id, transport)
        });
        transport.onclose = () => sessions.delete(transport.sessionId);
        await newServer().connect(transport);
        return transport.handleRequest(request, response, message);
    }
    if (id === undefined) return refuse(response, 400, -32000, 'Bad Request: Session ID required');
    const transport = sessions.get(id);
    if (transport === undefined) return refuse(response, 404, -32001, 'Session not found');
    return transport.handleRequest(request, response, message);
}

const server = createServer((request, response) => {
    serve(request, response).catch(error => {
        console.error(error);
        if (!response.headersSent) refuse(response, 500, -32603, 'Internal error');
    });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
