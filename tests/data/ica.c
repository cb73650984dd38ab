/* ica: crypto requests through /dev/z90crypt, from a file, with the answers that are expected.
 *
 *   ica rsa FILE COUNT PROCESSES   each line of FILE, COUNT times in all, spread over PROCESSES:
 *                                      me MODULUS EXPONENT INPUT RESULT
 *                                      crt P Q DP DQ U INPUT RESULT       (hexadecimal)
 *   ica cprb LENGTH COUNT          random numbers from a coprocessor, with LENGTH bytes of request data
 *   ica problem COUNT              AP instructions in the problem state, which gives a signal each
 *
 * Prints counts that a test can compare; exit code 1 if an answer was wrong or missing.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_OPERAND 512
#define MAX_CASES 64
#define PAD 8 /* leading zeros that the interface wants before p, dp and u */

struct modexpo {
	uint8_t *input;
	uint32_t input_length;
	uint8_t *output;
	uint32_t output_length;
	uint8_t *exponent, *modulus;
};

struct crt {
	uint8_t *input;
	uint32_t input_length;
	uint8_t *output;
	uint32_t output_length;
	uint8_t *dp, *dq, *p, *q, *u;
};

struct xcrb {
	uint16_t agent;
	uint32_t card;
	uint16_t request;
	uint32_t request_length;
	uint64_t pad1;
	uint8_t *request_block;
	uint32_t data_length;
	uint64_t pad2;
	uint8_t *data;
	uint32_t reply_length;
	uint64_t pad3;
	uint8_t *reply_block;
	uint32_t reply_data_length;
	uint64_t pad4;
	uint8_t *reply_data;
	uint16_t priority;
	uint32_t status;
} __attribute__((packed));

#define MODEXPO _IOC(_IOC_READ | _IOC_WRITE, 'z', 0x05, 0)
#define CRT _IOC(_IOC_READ | _IOC_WRITE, 'z', 0x06, 0)
#define CPRB _IOC(_IOC_READ | _IOC_WRITE, 'z', 0x81, 0)

struct operand {
	uint8_t bytes[MAX_OPERAND];
	size_t length;
};

struct request {
	int is_crt;
	struct operand operands[7];
};

static struct request requests[MAX_CASES];
static int request_count;
static struct timespec started;

static double elapsed(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - started.tv_sec) + (now.tv_nsec - started.tv_nsec) / 1e9;
}

static void parse(const char *hex, struct operand *to)
{
	for (to->length = 0; hex[0] && hex[1] && to->length < MAX_OPERAND; hex += 2, to->length++) {
		unsigned int byte;

		sscanf(hex, "%2x", &byte);
		to->bytes[to->length] = byte;
	}
}

static void load(const char *path)
{
	static char line[16384];
	FILE *file = fopen(path, "r");

	while (file && fgets(line, sizeof line, file) && request_count < MAX_CASES) {
		struct request *r = &requests[request_count];
		char *word = strtok(line, " \n");
		int number;

		if (!word)
			continue;
		r->is_crt = !strcmp(word, "crt");
		for (number = 0; number < 7 && (word = strtok(NULL, " \n")); number++)
			parse(word, &r->operands[number]);
		request_count++;
	}
	if (!request_count) {
		fprintf(stderr, "no requests in %s\n", path);
		exit(2);
	}
}

/* Right-aligned in a field of the given length, which is static and zeroed. */
static uint8_t *field(uint8_t *room, const struct operand *from, size_t length)
{
	memset(room, 0, length);
	memcpy(room + length - from->length, from->bytes, from->length);
	return room;
}

static int send_me(int fd, const struct request *r, uint8_t *output, size_t length)
{
	static uint8_t rooms[3][MAX_OPERAND];
	struct modexpo call = {
		.input = field(rooms[0], &r->operands[2], length), .input_length = length,
		.output = output, .output_length = length,
		.exponent = field(rooms[1], &r->operands[1], length),
		.modulus = field(rooms[2], &r->operands[0], length),
	};

	return ioctl(fd, MODEXPO, &call);
}

static int send_crt(int fd, const struct request *r, uint8_t *output, size_t length)
{
	static uint8_t rooms[6][MAX_OPERAND];
	size_t shorter = length / 2, longer = shorter + PAD;
	struct crt call = {
		.input = field(rooms[0], &r->operands[5], length), .input_length = length,
		.output = output, .output_length = length,
		.p = field(rooms[1], &r->operands[0], longer), .q = field(rooms[2], &r->operands[1], shorter),
		.dp = field(rooms[3], &r->operands[2], longer), .dq = field(rooms[4], &r->operands[3], shorter),
		.u = field(rooms[5], &r->operands[4], longer),
	};

	return ioctl(fd, CRT, &call);
}

/* Exit code of a process: the kinds of trouble it had. */
static int serve(int count, int first)
{
	int fd = open("/dev/z90crypt", O_RDWR), number, right = 0, wrong = 0, failed = 0, last = 0;

	for (number = 0; number < count; number++) {
		const struct request *r = &requests[(first + number) % request_count];
		const struct operand *expected = &r->operands[r->is_crt ? 6 : 3];
		uint8_t output[MAX_OPERAND] = { 0 };
		int rc = r->is_crt ? send_crt(fd, r, output, expected->length)
				   : send_me(fd, r, output, expected->length);

		if (rc) {
			failed++;
			last = errno;
		} else if (memcmp(output, expected->bytes, expected->length)) {
			wrong++;
		} else {
			right++;
		}
	}
	printf("right %d wrong %d failed %d errno %d seconds %.3f\n", right, wrong, failed, last, elapsed());
	fflush(stdout);
	return wrong || failed;
}

static int rsa(const char *path, int count, int processes)
{
	int number, status, trouble = 0;

	load(path);
	for (number = 0; number < processes; number++)
		if (!fork())
			_exit(serve(count / processes, number));
	while (wait(&status) > 0)
		trouble |= status;
	printf("total %d seconds %.3f\n", count, elapsed());
	return trouble != 0;
}

static int cprb(unsigned int length, int count)
{
	static uint8_t block[256], reply[8192], data[1 << 16], random[8192];
	static const uint8_t parameters[] = "RL\0\012RANDOM  \0\002\0\002";
	int fd = open("/dev/z90crypt", O_RDWR), number;

	for (number = 0; number < count; number++) {
		struct xcrb call = {
			.agent = 0x4341, .card = 0xffffffff, .request_length = 220 + 16, .request_block = block,
			.data_length = length, .data = data, .reply_length = sizeof reply, .reply_block = reply,
			.reply_data_length = sizeof random, .reply_data = random,
		};
		uint32_t *words = (uint32_t *)block;
		int rc;

		memset(block, 0, sizeof block);
		memcpy(block, "\0\334\002", 3);
		memcpy(block + 6, "T2", 2);
		words[12 / 4] = 16;
		words[16 / 4] = length;
		words[20 / 4] = 1024;
		words[28 / 4] = 4096;
		memset(block + 170, 0xff, 2);
		memcpy(block + 220, parameters, 16);
		rc = ioctl(fd, CPRB, &call);
		printf("cprb rc %d errno %d status %08x data %u rt %u rs %u\n", rc, rc ? errno : 0, call.status,
		       call.reply_data_length, reply[144] << 8 | reply[145], reply[146] << 8 | reply[147]);
	}
	return 0;
}

static volatile int signals, last_signal, last_code;

static void illegal(int signal, siginfo_t *info, void *context)
{
	(void)context; /* its PSW is behind the instruction already */
	signals++;
	last_signal = signal;
	last_code = info->si_code;
}

static int problem(int count)
{
	struct sigaction action = { .sa_sigaction = illegal, .sa_flags = SA_SIGINFO };
	int number;

	sigaction(SIGILL, &action, NULL);
	for (number = 0; number < count; number++)
		asm volatile("lghi 0,0\n\tlghi 1,0\n\tlghi 2,0\n\t.insn rre,0xb2af0000,0,0"
			     ::: "0", "1", "2", "cc", "memory");
	printf("signals %d last %d code %d seconds %.3f\n", signals, last_signal, last_code, elapsed());
	return 0;
}

int main(int argc, char **argv)
{
	clock_gettime(CLOCK_MONOTONIC, &started);
	if (argc == 5 && !strcmp(argv[1], "rsa"))
		return rsa(argv[2], atoi(argv[3]), atoi(argv[4]));
	if (argc == 4 && !strcmp(argv[1], "cprb"))
		return cprb(atoi(argv[2]), atoi(argv[3]));
	if (argc == 3 && !strcmp(argv[1], "problem"))
		return problem(atoi(argv[2]));
	fprintf(stderr, "usage: ica rsa FILE COUNT PROCESSES | cprb LENGTH COUNT | problem COUNT\n");
	return 2;
}
