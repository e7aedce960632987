/// gpu-probes: asks a device eight questions and prints one line for each:
///
///     P4 passed|failed|not applicable: what was seen
///
///     gpu-probes [--device N] [--json FILE]
///
/// N counts devices in the order of `forja devices`; without it the first GPU is asked, else the first device.
/// `--json` writes the answers with build logs too. A failed probe is a finding, not an error: exits 0 when eight
/// lines were printed, 64 on wrong usage, 1 when FILE cannot be written.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

enum { TIMEOUT_SECONDS = 60 };

const probe probes[8] = {
    {"P1", "device", 0, 0, ask_device_facts},
    {"P2", "mma.sync through inline PTX", 80, 0, ask_mma},
    {"P3", "compiler option -cl-nv-arch sm_90a", 90, 90, ask_mma_for_sm_90a},
    {"P4", "wgmma from our own PTX", 90, 90, ask_wgmma_module},
    {"P5", "the driver's PTX edited to sm_90a", 90, 90, ask_edited_ptx},
    {"P6", "local memory as an argument", 0, 0, ask_local_memory},
    {"P7", "bulk copies and mbarrier", 90, 0, ask_bulk_copy},
    {"P8", "registers and memory of a kernel", 0, 0, ask_kernel_resources},
};

static const char *verdict_text(verdict v) {
    return v == PASSED ? "passed" : v == FAILED ? "failed" : "not applicable";
}

/// In the child: opens the device and asks, or says why not.
static void ask(answer *a, const probe *p, int device) {
    session s;
    char why[512];
    if (!session_open(&s, device, why, sizeof why))
        say(a, NOT_APPLICABLE, "no device: %s", why);
    else if (p->least_capability > 0 && s.compute_capability == 0)
        say(a, NOT_APPLICABLE, "not an NVIDIA device: it has no compute capability");
    else if (s.compute_capability < p->least_capability)
        say(a, NOT_APPLICABLE, "compute capability %u.%u, needed %u.%u", s.compute_capability / 10,
            s.compute_capability % 10, p->least_capability / 10, p->least_capability % 10);
    else if (p->greatest_capability > 0 && s.compute_capability > p->greatest_capability)
        say(a, NOT_APPLICABLE, "compute capability %u.%u; sm_90a is 9.0 alone",
            s.compute_capability / 10, s.compute_capability % 10);
    else
        p->ask(a, &s);
}

static bool write_all(int file, const void *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        const ssize_t count = write(file, (const char *)bytes + done, size - done);
        if (count <= 0)
            return false;
        done += (size_t)count;
    }
    return true;
}

static bool read_all(int file, void *bytes, size_t size) {
    for (size_t done = 0; done < size;) {
        const ssize_t count = read(file, (char *)bytes + done, size - done);
        if (count <= 0)
            return false;
        done += (size_t)count;
    }
    return true;
}

/// Asks in a child process, which a driver may end.
static void ask_apart(answer *a, const probe *p, int device) {
    int ends[2];
    if (pipe(ends) != 0) {
        say(a, FAILED, "the system gives no pipe");
        return;
    }
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        alarm(TIMEOUT_SECONDS);
        ask(a, p, device);
        _exit(write_all(ends[1], a, sizeof *a) ? 0 : 1); // a driver's exit handlers stay unrun
    }
    close(ends[1]);
    const bool is_told = child > 0 && read_all(ends[0], a, sizeof *a);
    close(ends[0]);
    int status = 0;
    if (child > 0)
        waitpid(child, &status, 0);
    if (is_told)
        return;
    if (child > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        say(a, FAILED, "no answer in %d s", TIMEOUT_SECONDS);
    else if (child > 0 && WIFSIGNALED(status))
        say(a, FAILED, "the driver ended the process with signal %d (%s)", WTERMSIG(status),
            strsignal(WTERMSIG(status)));
    else
        say(a, FAILED, "the driver ended the process with status %d",
            child > 0 ? WEXITSTATUS(status) : -1);
}

static void write_json_text(FILE *out, const char *text) {
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < 0x20 || *c > 0x7e)
            fprintf(out, "\\u%04x", *c);
        else
            fputc(*c, out);
    }
    fputc('"', out);
}

static bool write_json(const char *path, const answer *answers) {
    FILE *out = fopen(path, "w");
    if (!out)
        return false;
    fputs("{\"probes\":[", out);
    for (int i = 0; i < 8; i++) {
        fprintf(out, "%s\n{\"probe\":\"%s\",\"title\":", i ? "," : "", probes[i].name);
        write_json_text(out, probes[i].title);
        fprintf(out, ",\"verdict\":\"%s\",\"seen\":", verdict_text(answers[i].verdict));
        write_json_text(out, answers[i].seen);
        fputs(",\"detail\":", out);
        write_json_text(out, answers[i].detail);
        fputs("}", out);
    }
    fputs("\n]}\n", out);
    return fclose(out) == 0;
}

int main(int count, char **arguments) {
    int device = -1;
    const char *json = NULL;
    for (int i = 1; i < count; i += 2) {
        char *end = NULL;
        if (i + 1 < count && strcmp(arguments[i], "--device") == 0) {
            device = (int)strtol(arguments[i + 1], &end, 10);
            if (*arguments[i + 1] && !*end && device >= 0)
                continue;
        } else if (i + 1 < count && strcmp(arguments[i], "--json") == 0) {
            json = arguments[i + 1];
            continue;
        }
        fprintf(stderr, "usage: %s [--device N] [--json FILE]\n", arguments[0]);
        return 64;
    }
    static answer answers[8];
    for (int i = 0; i < 8; i++) {
        ask_apart(&answers[i], &probes[i], device);
        printf("%s %s: %s: %s\n", probes[i].name, verdict_text(answers[i].verdict),
               probes[i].title, answers[i].seen);
    }
    if (json && !write_json(json, answers)) {
        fprintf(stderr, "error: %s cannot be written\n  fix: name a file in a folder that exists\n",
                json);
        return 1;
    }
    return 0;
}
