/* agent: does in a Linux what it is told, line by line, on its console, and answers.
 *
 *   S                         the attributes of the AP bus, its cards and queues, and their drivers, but not what asks
 *                             cards: with + what is new since the last S, with - what is gone
 *   N                         the uevents since the last N
 *   R PATH                    the content of an attribute
 *   W PATH DATA               write DATA and a newline in one write(2)
 *   Q NUMBER R PATH           in the background: read an attribute
 *   Q NUMBER M                    ... an RSA request (mod-expo)
 *   Q NUMBER C CARD CONTROL       ... a CCA request with this control block (hexadecimal)
 *   Q NUMBER E CARD DOMAIN CPRB   ... an EP11 request
 *   Q NUMBER H                    ... four random bytes from /dev/hwrng
 *   J                         the requests of the background that have ended, and how, since the last J
 *   X                         end
 *
 * PATHs are relative to /sys. Each answer ends with a line that is a dot. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <linux/netlink.h>
#include <termios.h>
#include <unistd.h>

#define ROOM 8192
#define MODULUS 128
#define MOST_LINES 1000
#define MODEXPO _IOC(_IOC_READ | _IOC_WRITE, 'z', 0x05, 0)
#define CPRB _IOC(_IOC_READ | _IOC_WRITE, 'z', 0x81, 0)
#define EP11 _IOC(_IOC_READ | _IOC_WRITE, 'z', 0x04, 0)

static const char *asks_card[] = {"serialnr", "mkvps", "op_modes", "API_ordinalnr", "FW_version", "uevent", NULL};

struct modexpo {
	void *input;
	uint32_t input_length;
	void *output;
	uint32_t output_length;
	void *exponent, *modulus;
};

struct xcrb {
	uint16_t agent;
	uint32_t card;
	uint16_t request;
	uint32_t request_length;
	uint64_t pad1;
	void *request_block;
	uint32_t data_length;
	uint64_t pad2;
	void *data;
	uint32_t reply_length;
	uint64_t pad3;
	void *reply_block;
	uint32_t reply_data_length;
	uint64_t pad4;
	void *reply_data;
	uint16_t priority;
	uint32_t status;
} __attribute__((packed));

struct target {
	uint16_t card, domain;
};

struct urb {
	uint16_t targets_number;
	void *targets;
	uint64_t weight, number, request_length;
	void *request;
	uint64_t reply_length;
	void *reply;
} __attribute__((packed));

struct job {
	char line[4096], result[ROOM];
	struct job *next;
};

static struct job *ended;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static char *escaped(char *to, const char *from, size_t length)
{
	char *start = to;

	for (*to++ = '"'; length--; from++)
		to += *from == '\n' ? sprintf(to, "\\n") : sprintf(to, "%c", *from);
	strcpy(to, "\"");
	return start;
}

static const char *failure(void)
{
	return strerrorname_np(errno);
}

static const char *content(char *to, const char *path)
{
	char full[1024], text[4097];
	ssize_t n;
	int fd;

	snprintf(full, sizeof full, "/sys/%s", path);
	fd = open(full, O_RDONLY);
	if (fd < 0)
		return strcpy(to, failure());
	n = read(fd, text, sizeof text - 1);
	if (n < 0)
		strcpy(to, failure());
	else
		escaped(to, text, n);
	close(fd);
	return to;
}

static const char *written(const char *path, const char *data)
{
	char full[1024], text[1024];
	int fd, rc;

	snprintf(full, sizeof full, "/sys/%s", path);
	fd = open(full, O_WRONLY);
	if (fd < 0)
		return failure();
	rc = write(fd, text, snprintf(text, sizeof text, "%s\n", data));
	close(fd);
	return rc < 0 ? failure() : "ok";
}

static int shown(const char *name)
{
	int i;

	for (i = 0; asks_card[i]; i++)
		if (!strcmp(asks_card[i], name))
			return 0;
	return 1;
}

/* The lines of a snapshot. */
struct lines {
	char *line[MOST_LINES];
	int count;
};

static void add(struct lines *to, const char *shown_as, const char *name, const char *text)
{
	if (to->count < MOST_LINES && asprintf(&to->line[to->count], "%s/%s %s", shown_as, name, text) > 0)
		to->count++;
}

static int has(const struct lines *lines, const char *line)
{
	int i;

	for (i = 0; i < lines->count; i++)
		if (!strcmp(lines->line[i], line))
			return 1;
	return 0;
}

static void attributes(struct lines *to, const char *directory, const char *shown_as)
{
	static char text[3 * 4097];
	struct dirent **list;
	char full[1100], driver[1024];
	struct stat st;
	ssize_t n;
	int i, count;

	snprintf(full, sizeof full, "/sys/%s", directory);
	count = scandir(full, &list, NULL, alphasort);
	for (i = 0; i < count; free(list[i++])) {
		const char *name = list[i]->d_name;

		snprintf(full, sizeof full, "/sys/%s/%s", directory, name);
		if (lstat(full, &st))
			continue;
		if (S_ISREG(st.st_mode) && st.st_mode & 0444 && shown(name))
			add(to, shown_as, name, content(text, full + strlen("/sys/")));
		if (S_ISLNK(st.st_mode) && !strcmp(name, "driver") && (n = readlink(full, driver, sizeof driver - 1)) > 0) {
			driver[n] = 0;
			add(to, shown_as, name, strrchr(driver, '/') + 1);
		}
	}
}

static void snapshot(void)
{
	static struct lines now, before;
	struct dirent **list;
	char path[512];
	int i, count;

	attributes(&now, "bus/ap", "ap");
	count = scandir("/sys/bus/ap/devices", &list, NULL, alphasort);
	for (i = 0; i < count; free(list[i++])) {
		if (list[i]->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "bus/ap/devices/%s", list[i]->d_name);
		attributes(&now, path, list[i]->d_name);
	}
	for (i = 0; i < before.count; free(before.line[i++]))
		if (!has(&now, before.line[i]))
			printf("-%s\n", before.line[i]);
	for (i = 0; i < now.count; i++)
		if (!has(&before, now.line[i]))
			printf("+%s\n", now.line[i]);
	before = now;
	now.count = 0;
}

static int events = -1;

static void listen_to_kernel(void)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};
	int size = 1 << 20;

	events = socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
	setsockopt(events, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	bind(events, (struct sockaddr *)&address, sizeof address);
}

static void news(void)
{
	static char text[1 << 14];
	ssize_t n, i;

	while ((n = recv(events, text, sizeof text - 1, 0)) > 0) {
		text[n] = 0;
		fputs("~", stdout);
		for (i = strlen(text) + 1; i < n; i += strlen(text + i) + 1)
			if (strncmp(text + i, "SEQNUM=", 7))
				printf(" %s", text + i);
		putchar('\n');
	}
}

static size_t bytes(uint8_t *to, const char *hex)
{
	unsigned int byte;
	size_t n = 0;

	for (; hex && hex[0] && hex[1] && n < ROOM; hex += 2) {
		sscanf(hex, "%2x", &byte);
		to[n++] = byte;
	}
	return n;
}

/* Two to the power of three, modulo a number that is larger. */
static void rsa(char *result, int fd)
{
	uint8_t input[MODULUS] = {[MODULUS - 1] = 2}, output[MODULUS], exponent[MODULUS] = {[MODULUS - 1] = 3};
	uint8_t modulus[MODULUS], expected[MODULUS] = {[MODULUS - 1] = 8};
	struct modexpo call = {input, MODULUS, output, MODULUS, exponent, modulus};

	memset(modulus, 0xff, MODULUS);
	if (ioctl(fd, MODEXPO, &call))
		strcpy(result, failure());
	else
		strcpy(result, memcmp(output, expected, MODULUS) ? "wrong" : "ok");
}

static void *run(void *argument)
{
	struct job *job = argument;
	uint8_t request[ROOM], reply[ROOM] = {0}, data[4096];
	char *rest, *number = strtok_r(job->line, " ", &rest), *kind = strtok_r(NULL, " ", &rest);
	char *first = strtok_r(NULL, " ", &rest), *second = strtok_r(NULL, " ", &rest), *third = strtok_r(NULL, " ", &rest);
	char *result = job->result + sprintf(job->result, "%s ", number);
	int fd = open(*kind == 'H' ? "/dev/hwrng" : "/dev/z90crypt", *kind == 'H' ? O_RDONLY : O_RDWR);

	if (*kind == 'R') {
		content(result, first);
	} else if (*kind == 'H') {
		strcpy(result, read(fd, data, 4) < 0 ? failure() : "ok");
	} else if (*kind == 'M') {
		rsa(result, fd);
	} else if (*kind == 'C') {
		struct xcrb call = {
			.agent = 0x4341, .card = strtoul(first, NULL, 16), .request_length = bytes(request, second),
			.request_block = request, .reply_length = sizeof reply, .reply_block = reply,
			.reply_data_length = sizeof data, .reply_data = data,
		};

		if (ioctl(fd, CPRB, &call))
			sprintf(result, "%s status %08x", failure(), call.status);
		else
			sprintf(result, "ok rt/rs %d/%d", reply[144] << 8 | reply[145], reply[146] << 8 | reply[147]);
	} else if (*kind == 'E') {
		struct target target = {strtoul(first, NULL, 16), strtoul(second, NULL, 16)};
		struct urb call = {
			.targets_number = 1, .targets = &target, .request_length = bytes(request, third), .request = request,
			.reply_length = sizeof reply, .reply = reply,
		};

		strcpy(result, ioctl(fd, EP11, &call) ? failure() : "ok");
	}
	if (fd >= 0)
		close(fd);
	pthread_mutex_lock(&lock);
	job->next = ended;
	ended = job;
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void start(const char *line)
{
	struct job *job = calloc(1, sizeof *job);
	pthread_t thread;

	strncpy(job->line, line, sizeof job->line - 1);
	pthread_create(&thread, NULL, run, job);
	pthread_detach(thread);
}

static void results(void)
{
	pthread_mutex_lock(&lock);
	while (ended) {
		struct job *job = ended;

		puts(job->result);
		ended = job->next;
		free(job);
	}
	pthread_mutex_unlock(&lock);
}

/* Let the console's driver write at once, which it does only if output is processed. */
static void hurry(void)
{
	struct termios settings;

	tcgetattr(1, &settings);
	settings.c_oflag = OPOST;
	tcsetattr(1, TCSANOW, &settings);
}

int main(void)
{
	static char line[4096], text[3 * 4097];
	FILE *in = fopen("/dev/ttysclp0", "r");
	char *data;

	hurry();
	listen_to_kernel();
	puts(".");
	fflush(stdout);
	while (in && fgets(line, sizeof line, in)) {
		line[strcspn(line, "\n")] = 0;
		data = strlen(line) > 2 ? strchr(line + 2, ' ') : NULL;
		switch (line[0]) {
		case 'S':
			snapshot();
			break;
		case 'N':
			news();
			break;
		case 'R':
			puts(content(text, line + 2));
			break;
		case 'W':
			if (data)
				*data++ = 0;
			puts(written(line + 2, data ? data : ""));
			break;
		case 'Q':
			start(line + 2);
			break;
		case 'J':
			results();
			break;
		case 'X':
			return 0;
		}
		puts(".");
		fflush(stdout);
	}
	return 1;
}
