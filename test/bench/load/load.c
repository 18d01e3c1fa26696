// Load generator: speaks to one server over many raw sockets, checks every byte that comes back, and reports one line
// of JSON. It knows nothing of masks and UTF-8; every frame that it sends or expects was built beforehand (frames.js),
// so that its work per message is one memcmp and its share of the time stays far below that of the fastest server.
//
// Linux only (epoll). Elsewhere, or without a C compiler, load.js does the same in Node.
//
//   load mode=echo port=1234 handshake=FILE accept=KEY request=FILE reply=FILE connections=1 window=64 ...
//
// With busy_poll=1 it never sleeps, because a server on the same machine pays for waking it; what it reports as its own
// time is then what it has spent with events.
//
// Lines on stdout: "start" when the measured time begins, then {"ops":…,"seconds":…,"cpu":…,"sleeps":…} or {"error":"…"};
// in idle mode "ready" when all connections stand. Connections are held until stdin ends, in the other modes behind the result.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "wire.h"

enum { CONNECTING, HANDSHAKE, GREETING, ANSWER, READY, DONE };

typedef struct {
  int fd;
  int state;
  int wants_out;
  size_t text_size;
  char text[4096];
  scanner frames;
  unsigned frames_seen;
  uint64_t out, allowed, in;
} connection;

enum { MODE_HANDSHAKE, MODE_ECHO, MODE_PUSH, MODE_BURST, MODE_STREAM, MODE_IDLE };

static struct {
  int mode, port;
  unsigned connections, window, inflight, burst, greeting, answer, reply_head, busy_poll;
  uint64_t blocks, total;
  double duration, warmup, timeout;
  char accept[64];
  bytes handshake, preamble, request, reply, prefix, block, suffix, pattern;
} options = {.connections = 1, .window = 1, .inflight = 64, .burst = 10, .duration = 1, .timeout = 60};

static connection *connections;
static int epoll_fd;
static unsigned opened, ready, burst_left;
static uint64_t ops, received, ops_at_start, period_out, period_in;
static uint64_t payload_seen;
static double started_at = -1, cpu_at_start, began_at, polled;
static long sleeps_at_start;
static uint8_t *input;
static const size_t input_size = 1 << 20;

static double busy_seconds(void) { return cpu_seconds() - polled; }

static void start_clock(void) {
  started_at = now();
  cpu_at_start = busy_seconds();
  sleeps_at_start = sleeps();
  ops_at_start = ops;
  puts("start");
  fflush(stdout);
}

static void report(void) {
  double seconds = now() - started_at;
  printf("{\"ops\":%llu,\"seconds\":%.6f,\"cpu\":%.6f,\"sleeps\":%ld}\n", (unsigned long long)(ops - ops_at_start), seconds,
         busy_seconds() - cpu_at_start, sleeps() - sleeps_at_start);
  fflush(stdout);
  // What it takes the server to lose all connections is no part of what was measured.
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
  exit(0);
}

static void watch(connection *c, int wants_out) {
  if (c->wants_out == wants_out) return;
  c->wants_out = wants_out;
  struct epoll_event event = {.events = EPOLLIN | (wants_out ? EPOLLOUT : 0), .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

static void open_connection(connection *c) {
  memset(c, 0, sizeof *c);
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) fail("Cannot open a socket: %s", strerror(errno));
  int one = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (options.mode == MODE_HANDSHAKE) {
    // Thousands of connections a second leave as many in TIME_WAIT: different source addresses keep the ports of any
    // one from being exhausted.
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000002u + opened % 250)};
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    bind(c->fd, (struct sockaddr *)&from, sizeof from);
  }
  struct sockaddr_in to = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)options.port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS)
    fail("Cannot connect: %s", strerror(errno));
  opened++;
  c->wants_out = 1;
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

// Writes what is at hand; false when the kernel takes no more.
static int write_all(connection *c, const uint8_t *data, size_t size, uint64_t *position) {
  ssize_t n = write(c->fd, data, size);
  if (n < 0) {
    if (errno != EAGAIN) fail("Cannot write after %llu bytes: %s", (unsigned long long)c->out, strerror(errno));
    n = 0;
  }
  *position += (uint64_t)n;
  return (size_t)n == size;
}

static void flush_stream(connection *c) {
  uint64_t middle = options.prefix.size, end = middle + options.blocks * options.block.size;
  uint64_t total = end + options.suffix.size;
  while (c->out < total) {
    const uint8_t *data;
    size_t size;
    if (c->out < middle) {
      data = options.prefix.data + c->out;
      size = middle - c->out;
    } else if (c->out < end) {
      size_t offset = (c->out - middle) % options.block.size;
      data = options.block.data + offset;
      size = options.block.size - offset;
    } else {
      data = options.suffix.data + (c->out - end);
      size = total - c->out;
    }
    if (!write_all(c, data, size, &c->out)) {
      watch(c, 1);
      return;
    }
  }
  watch(c, 0);
}

static void flush(connection *c) {
  if (options.mode == MODE_STREAM) {
    flush_stream(c);
    return;
  }
  while (c->out < c->allowed) {
    size_t offset = c->out % options.request.size;
    size_t size = options.request.size - offset;
    if (size > c->allowed - c->out) size = c->allowed - c->out;
    if (!write_all(c, options.request.data + offset, size, &c->out)) {
      watch(c, 1);
      return;
    }
  }
  watch(c, 0);
}

static void send_trigger(void) {
  burst_left = options.connections;
  connections[0].allowed += period_out;
  flush(&connections[0]);
}

static void on_ready(connection *c) {
  c->state = READY;
  ready++;
  switch (options.mode) {
    case MODE_HANDSHAKE:
      c->state = DONE;
      if (++ops == options.connections) report();
      break;
    case MODE_ECHO:
      if (ready == options.connections)
        for (unsigned i = 0; i < options.connections; i++) {
          connections[i].allowed = options.window * period_out;
          flush(&connections[i]);
        }
      return;
    case MODE_PUSH:
      c->allowed = period_out;
      flush(c);
      return;
    case MODE_BURST:
      if (ready == options.connections) send_trigger();
      break;
    case MODE_STREAM:
      start_clock();
      flush(c);
      return;
    case MODE_IDLE:
      if (options.request.size) {
        c->allowed = period_out;
        ready--;
        flush(c);
        return;
      }
      c->state = DONE;
      break;
  }
  if (opened < options.connections) open_connection(&connections[opened]);
}

static void expect(connection *c, const uint8_t *data, size_t size) {
  while (size) {
    size_t offset = c->in % options.reply.size;
    size_t part = options.reply.size - offset < size ? options.reply.size - offset : size;
    if (memcmp(data, options.reply.data + offset, part))
      fail("A reply differs from what was expected after %llu bytes: %.40s", (unsigned long long)c->in, data);
    c->in += part;
    data += part;
    size -= part;
  }
}

static void on_payload(connection *c, const uint8_t *data, size_t size) {
  if (!options.pattern.size) return;
  while (size) {
    size_t offset = payload_seen % options.pattern.size;
    size_t part = options.pattern.size - offset < size ? options.pattern.size - offset : size;
    if (memcmp(data, options.pattern.data + offset, part))
      fail("The echoed message differs after %llu bytes", (unsigned long long)payload_seen);
    payload_seen += part;
    data += part;
    size -= part;
  }
  (void)c;
}

static void on_frames(connection *c, const uint8_t *data, size_t size) {
  while (size) {
    const uint8_t *payload = data;
    size_t count;
    int ended;
    size_t used = scan(&c->frames, data, size, &payload, &count, &ended);
    on_payload(c, payload, count);
    data += used;
    size -= used;
    if (!ended) continue;
    c->frames_seen++;
    unsigned head = c->frames.head[0];
    if (options.mode == MODE_IDLE) {
      if (head != options.reply_head) fail("The reply's first byte is %u, expected %u", head, options.reply_head);
      c->state = DONE;
      ready++;
      if (opened < options.connections) open_connection(&connections[opened]);
    } else {
      if ((head & 127) != (c->frames_seen == 1 ? 2u : 0u)) fail("Unexpected first byte of a frame: %u", head);
      if (head & 128) {
        if (payload_seen != options.total) fail("The echo ended after %llu bytes", (unsigned long long)payload_seen);
        ops++;
        report();
      }
    }
  }
}

static void on_data(connection *c, const uint8_t *data, size_t size) {
  received += size;
  uint64_t before;
  switch (options.mode) {
    case MODE_ECHO:
      before = c->in / period_in;
      expect(c, data, size);
      ops += c->in / period_in - before;
      c->allowed = (options.window + c->in / period_in) * period_out;
      if (c->out < c->allowed && !c->wants_out) flush(c);
      return;
    case MODE_PUSH:
      before = c->in / period_in;
      expect(c, data, size);
      ops += c->in / period_in - before;
      return;
    case MODE_BURST:
      before = c->in / period_in;
      expect(c, data, size);
      ops += c->in / period_in - before;
      if (c->in % (period_in * options.burst) == 0 && --burst_left == 0) send_trigger();
      return;
    case MODE_STREAM:
      if (options.pattern.size) {
        on_frames(c, data, size);
        return;
      }
      expect(c, data, size);
      if (c->in == options.reply.size) {
        ops++;
        report();
      }
      return;
    case MODE_IDLE:
      if (c->state == READY) on_frames(c, data, size);
      return;
    default:
      return;
  }
}

// Frames of a protocol on top (Engine.IO) that come before the application's.
static size_t on_prologue(connection *c, const uint8_t *data, size_t size) {
  size_t used = 0;
  for (;;) {
    unsigned wanted = c->state == GREETING ? options.greeting : options.greeting + options.answer;
    if (c->frames_seen >= wanted) {
      if (c->state == GREETING && options.preamble.size) {
        uint64_t position = 0;
        if (!write_all(c, options.preamble.data, options.preamble.size, &position)) fail("Cannot write the preamble");
        c->state = ANSWER;
        continue;
      }
      c->frames_seen = 0;
      on_ready(c);
      return used;
    }
    if (used == size) return used;
    const uint8_t *payload;
    size_t count;
    int ended;
    used += scan(&c->frames, data + used, size - used, &payload, &count, &ended);
    if (ended) c->frames_seen++;
  }
}

static void on_handshake(connection *c, const uint8_t *data, size_t size) {
  if (c->text_size + size >= sizeof c->text) fail("The answer to the handshake is too long");
  memcpy(c->text + c->text_size, data, size);
  size_t before = c->text_size;
  c->text_size += size;
  c->text[c->text_size] = 0;
  char *end = strstr(c->text, "\r\n\r\n");
  if (!end) return;
  if (strncmp(c->text, "HTTP/1.1 101 ", 13)) fail("The handshake was refused: %.60s", c->text);
  char *accept = strcasestr(c->text, "\r\nsec-websocket-accept: ");
  if (!accept || strncmp(accept + 24, options.accept, strlen(options.accept)))
    fail("Sec-WebSocket-Accept is missing or wrong");
  size_t used = (size_t)(end + 4 - c->text) - before;
  c->state = GREETING;
  used += on_prologue(c, data + used, size - used);
  if (used < size && c->state == READY) on_data(c, data + used, size - used);
}

static void on_event(connection *c, uint32_t events) {
  if (events & EPOLLOUT) {
    if (c->state == CONNECTING) {
      int error = 0;
      socklen_t length = sizeof error;
      getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
      if (error) fail("Cannot connect: %s", strerror(error));
      uint64_t position = 0;
      if (!write_all(c, options.handshake.data, options.handshake.size, &position)) fail("Cannot write the handshake");
      c->state = HANDSHAKE;
      watch(c, 0);
      return;
    }
    flush(c);
  }
  if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  ssize_t n = read(c->fd, input, input_size);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n < 0) fail("Cannot read after %llu bytes: %s", (unsigned long long)c->in, strerror(errno));
  if (n == 0) fail("The server closed a connection after %llu bytes", (unsigned long long)c->in);
  size_t size = (size_t)n;
  if (c->state == HANDSHAKE) {
    on_handshake(c, input, size);
  } else if (c->state == GREETING || c->state == ANSWER) {
    size_t used = on_prologue(c, input, size);
    if (used < size && c->state == READY) on_data(c, input + used, size - used);
  } else {
    on_data(c, input, size);
  }
}

static void parse_option(char *text) {
  char *value = strchr(text, '=');
  if (!value) fail("Unknown option %s", text);
  *value++ = 0;
  static const char *modes[] = {"handshake", "echo", "push", "burst", "stream", "idle"};
  if (!strcmp(text, "mode")) {
    options.mode = -1;
    for (int i = 0; i < 6; i++)
      if (!strcmp(value, modes[i])) options.mode = i;
    if (options.mode < 0) fail("Unknown mode %s", value);
    return;
  }
  if (!strcmp(text, "accept")) {
    snprintf(options.accept, sizeof options.accept, "%s", value);
    return;
  }
#define FILE_OPTION(name) if (!strcmp(text, #name)) { options.name = read_file(value); return; }
#define NUMBER_OPTION(name) if (!strcmp(text, #name)) { options.name = (__typeof__(options.name))strtoull(value, 0, 0); return; }
#define SECONDS_OPTION(name) if (!strcmp(text, #name)) { options.name = atof(value) / 1000; return; }
  FILE_OPTION(handshake) FILE_OPTION(preamble) FILE_OPTION(request) FILE_OPTION(reply)
  FILE_OPTION(prefix) FILE_OPTION(block) FILE_OPTION(suffix) FILE_OPTION(pattern)
  NUMBER_OPTION(port) NUMBER_OPTION(connections) NUMBER_OPTION(window) NUMBER_OPTION(inflight) NUMBER_OPTION(burst)
  NUMBER_OPTION(greeting) NUMBER_OPTION(answer) NUMBER_OPTION(reply_head) NUMBER_OPTION(blocks) NUMBER_OPTION(total)
  NUMBER_OPTION(busy_poll)
  SECONDS_OPTION(duration) SECONDS_OPTION(warmup) SECONDS_OPTION(timeout)
  fail("Unknown option %s", text);
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) parse_option(argv[i]);
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_max < options.connections + 32) fail("Needs %u open files, the limit is lower", options.connections);
  if (options.request.size) options.request = repeated(options.request, &period_out);
  if (options.mode == MODE_STREAM) period_in = options.reply.size;
  else if (options.reply.size) options.reply = repeated(options.reply, &period_in);
  connections = calloc(options.connections, sizeof *connections);
  input = malloc(input_size);
  epoll_fd = epoll_create1(0);
  unsigned at_once = options.connections < options.inflight ? options.connections : options.inflight;
  if (options.mode == MODE_ECHO) at_once = options.connections;
  began_at = now();
  if (options.mode == MODE_HANDSHAKE) start_clock();
  while (opened < at_once) open_connection(&connections[opened]);

  int timed = options.mode == MODE_ECHO || options.mode == MODE_PUSH || options.mode == MODE_BURST;
  struct epoll_event events[256];
  double t = now();
  for (;;) {
    int count = epoll_wait(epoll_fd, events, 256, options.busy_poll ? 0 : 50);
    for (int i = 0; i < count; i++) on_event(events[i].data.ptr, events[i].events);
    double before = t;
    t = now();
    if (options.busy_poll && count == 0) polled += t - before;
    if (options.mode == MODE_IDLE && ready == options.connections) break;
    if (timed && started_at < 0 && ops > 0) {
      static double first_op = 0;
      if (!first_op) first_op = t;
      if (t - first_op >= options.warmup) start_clock();
    } else if (timed && started_at >= 0 && t - started_at >= options.duration) {
      report();
    }
    if (t - began_at > options.timeout)
      fail("Timed out after %.0f s: %u of %u connections, %llu messages, %llu bytes", t - began_at, ready,
           options.connections, (unsigned long long)ops, (unsigned long long)received);
  }
  puts("ready");
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) continue;
  puts("{\"ops\":0,\"seconds\":0,\"cpu\":0,\"sleeps\":0}");
  return 0;
}
