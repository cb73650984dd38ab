/* Opens, writes, reads and lists in turns below two directories, and prints the best rates of each:
 *   sysfs DIRECTORY YARDSTICK FILE DEVICE  ->  write A B, read A B, list A B, ioctl A B, trips A A (per second)
 * Every entry of DIRECTORY is a directory with FILE in it. The ioctl asks DEVICE, a zcrypt node, for its domain; its
 * yardstick is an ioctl that /dev/null refuses. Trips are pairs of questions to another process, and its answers,
 * through pipes: a file system outside the kernel needs two for an open and a read. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 5
#define CALLS 8192
#define DOMAIN_INDEX 0x80047a47

static char *paths[2][8192];
static int count;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

static void use(char **list, int write_it)
{
	char buffer[4096];
	for (int i = 0; i < CALLS; i++) {
		int file = open(list[i % count], write_it ? O_WRONLY : O_RDONLY);
		if (file < 0 || (write_it ? write(file, "0\n", 2) : read(file, buffer, sizeof buffer)) < 0) {
			perror(list[i % count]);
			exit(1);
		}
		close(file);
	}
}

static void ask(int device)
{
	int number;
	for (int i = 0; i < CALLS; i++)
		ioctl(device, DOMAIN_INDEX, &number);
}

/* Another process that answers each byte with a byte. */
static void start_echo(int *ask, int *answer)
{
	char byte;
	if (pipe(ask) || pipe(answer))
		exit(1);
	if (fork())
		return;
	close(ask[1]);
	while (read(ask[0], &byte, 1) == 1)
		write(answer[1], &byte, 1);
	_exit(0);
}

static double pairs_of_trips(void)
{
	static int question[2], answer[2];
	char byte = 0;
	double start;
	if (!question[1])
		start_echo(question, answer);
	start = now();
	for (int i = 0; i < 2 * CALLS; i++) {
		write(question[1], &byte, 1);
		read(answer[0], &byte, 1);
	}
	return CALLS / (now() - start);
}

static int entries(const char *directory)
{
	int found = 0;
	DIR *stream = opendir(directory);
	while (readdir(stream))
		found++;
	closedir(stream);
	return found;
}

int main(int argc, char **argv)
{
	double best[4][2] = {{0}}, trips = 0;
	struct dirent *entry;
	int devices[2] = {argc == 5 ? open(argv[4], O_RDWR) : -1, open("/dev/null", O_RDWR)};
	DIR *stream = argc == 5 ? opendir(argv[1]) : NULL;
	if (!stream || devices[0] < 0)
		return 2;
	while ((entry = readdir(stream)) && count < 8192) {
		if (entry->d_name[0] == '.' || strlen(entry->d_name) != 7)
			continue;
		for (int which = 0; which < 2; which++)
			asprintf(&paths[which][count], "%s/%s/%s", argv[1 + which], entry->d_name, argv[3]);
		count++;
	}
	closedir(stream);
	for (int round = 0; round < ROUNDS; round++) {
		double pairs = pairs_of_trips();
		if (pairs > trips)
			trips = pairs;
		for (int kind = 0; kind < 4; kind++)
			for (int which = 0; which < 2; which++) {
				double start = now(), rate;
				if (kind < 2)
					use(paths[which], kind == 0);
				else if (kind == 3)
					ask(devices[which]);
				else
					for (int i = 0; i < 20; i++)
						entries(argv[1 + which]);
				rate = (kind != 2 ? CALLS : 20) / (now() - start);
				if (rate > best[kind][which])
					best[kind][which] = rate;
			}
	}
	for (int kind = 0; kind < 4; kind++)
		printf("%s %.1f %.1f\n", (const char *[]){"write", "read", "list", "ioctl"}[kind], best[kind][0], best[kind][1]);
	printf("trips %.1f %.1f\n", trips, trips);
	return 0;
}
