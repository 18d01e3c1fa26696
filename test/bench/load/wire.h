// What the load generator needs of files, clocks and frames, apart from any connection.
#ifndef WIRE_H
#define WIRE_H

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

typedef struct {
  uint8_t *data;
  size_t size;
} bytes;

// Finds the ends of frames in what a server sends; servers do not mask (RFC 6455 §5.1).
typedef struct {
  uint8_t head[10];
  unsigned have;
  uint64_t left;
} scanner;

static void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void fail(const char *format, ...) {
  char message[512];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  for (char *c = message; *c; c++)
    if (*c == '"' || *c == '\\' || (unsigned char)*c < 32 || (unsigned char)*c > 126) *c = '.';
  printf("{\"error\":\"%s\"}\n", message);
  fflush(stdout);
  exit(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_seconds(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static long sleeps(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_nvcsw;
}

static bytes read_file(const char *path) {
  bytes result = {0};
  FILE *file = fopen(path, "rb");
  if (!file) fail("Cannot open %s: %s", path, strerror(errno));
  fseek(file, 0, SEEK_END);
  result.size = (size_t)ftell(file);
  rewind(file);
  result.data = malloc(result.size + 1);
  if (!result.data || fread(result.data, 1, result.size, file) != result.size) fail("Cannot read %s", path);
  fclose(file);
  return result;
}

// Many copies one after the other let one write, or one memcmp, cover many messages.
static bytes repeated(bytes unit, uint64_t *period) {
  size_t copies = unit.size >= 65536 ? 1 : 65536 / unit.size;
  bytes result = {malloc(unit.size * copies), unit.size * copies};
  for (size_t i = 0; i < copies; i++) memcpy(result.data + i * unit.size, unit.data, unit.size);
  *period = unit.size;
  return result;
}

// Takes bytes up to the end of one frame; returns how many, and sets `ended`. Payload goes to `payload` and `count`.
static size_t scan(scanner *s, const uint8_t *data, size_t size, const uint8_t **payload, size_t *count, int *ended) {
  size_t used = 0;
  *count = 0;
  *ended = 0;
  unsigned need = 2;
  for (;;) {
    if (s->have >= 2) {
      unsigned length = s->head[1] & 127;
      need = length == 126 ? 4 : length == 127 ? 10 : 2;
    }
    if (s->have >= need) break;
    if (used == size) return used;
    s->head[s->have++] = data[used++];
    if (s->have == 2) {
      unsigned length = s->head[1] & 127;
      need = length == 126 ? 4 : length == 127 ? 10 : 2;
    }
    if (s->have == need) {
      s->left = s->head[1] & 127;
      if (need == 4) s->left = (uint64_t)s->head[2] << 8 | s->head[3];
      if (need == 10) {
        s->left = 0;
        for (int i = 2; i < 10; i++) s->left = s->left << 8 | s->head[i];
      }
    }
  }
  size_t part = size - used < s->left ? size - used : (size_t)s->left;
  *payload = data + used;
  *count = part;
  s->left -= part;
  used += part;
  if (s->left == 0) {
    *ended = 1;
    s->have = 0;
  }
  return used;
}

#endif
