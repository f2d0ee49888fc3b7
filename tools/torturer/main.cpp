// millrace-torture: kills and stops publishers, subscribers, WebSocket clients, the gateway and the core at random
// instants, and holds what each of them wrote down against the log.
//
//   millrace-torture [--kills N] [--seed S] [--milliseconds-between LEAST MOST] [--rate N] [--folder DIR] ...
//
// The schedule of kills comes from the seed alone and is the same each time; the processes are real, so what they do
// between two kills is not, and a failure may not come again with the seed that found it.
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "tools/torturer/round.hpp"
#include "tools/torturer/worker.hpp"

namespace millrace::torture {
namespace {

constexpr std::uint32_t kills_a_round = 100;  // then the log is judged and given up, before it fills the disk

struct RunOptions {
  std::uint32_t kills = 30;
  std::uint64_t seed = 1;
  std::vector<std::uint32_t> between{20, 900};
  std::string folder = ".";
  bool keep = false;
  RoundOptions round;
};

int complain(const std::string& what) {
  std::fprintf(stderr, "millrace-torture: %s\n", what.c_str());
  return 1;
}

void print_schedule(const RunOptions& options, std::uint32_t round, const std::vector<Action>& schedule) {
  std::printf("schedule of round %u of seed %lu; the processes are real, so only the schedule comes again:\n", round,
              options.seed);
  for (const Action& action : schedule) std::printf("  %s\n", to_string(action).c_str());
}

class Torture {
 public:
  explicit Torture(RunOptions options) : options_(std::move(options)) {}

  [[nodiscard]] int run() {
    const std::string folder = options_.folder + "/millrace-torture-" + std::to_string(::getpid());
    bool good = true;
    for (std::uint32_t round = 1; good && total_.kills < options_.kills; ++round) {
      options_.round.folder = folder + "/round" + std::to_string(round);
      const Pace pace{std::chrono::milliseconds(options_.between[0]), std::chrono::milliseconds(options_.between[1])};
      const auto kills = std::min(kills_a_round, options_.kills - static_cast<std::uint32_t>(total_.kills));
      options_.round.schedule =
          make_schedule(options_.seed + (std::uint64_t{round} << 32), kills, options_.round.crew, pace);
      auto result = run_round(options_.round);
      good = result && result->verdict.clean();
      if (result) take(round, *result);
      if (!result) std::printf("round %u: %s\n", round, result.error().message.c_str());
      if (!good) print_schedule(options_, round, options_.round.schedule);
      if (!good) std::printf("journals, output and log are in %s\n", options_.round.folder.c_str());
      std::error_code ignored;
      if (good && !options_.keep) std::filesystem::remove_all(folder, ignored);
    }
    close();
    return good ? 0 : 1;
  }

 private:
  void take(std::uint32_t round, const RoundResult& result) {
    total_.kills += result.kills;
    total_.stops += result.stops;
    total_.verdict.acknowledged += result.verdict.acknowledged;
    total_.verdict.seen += result.verdict.seen;
    total_.verdict.lost += result.verdict.lost;
    total_.verdict.duplicated += result.verdict.duplicated;
    total_.verdict.reordered += result.verdict.reordered;
    total_.verdict.damaged += result.verdict.damaged;
    total_.verdict.told += result.verdict.told;
    total_.stalls.merge(result.stalls);
    std::printf("round %u: kills %lu, stops %lu, acknowledged %lu, seen %lu, told in gaps %lu, damaged %lu\n%s\n",
                round, result.kills, result.stops, result.verdict.acknowledged, result.verdict.seen,
                result.verdict.told, result.verdict.damaged, result.usage.c_str());
    for (const std::string& note : result.verdict.notes) std::printf("  wrong: %s\n", note.c_str());
    std::fflush(stdout);
  }

  void close() {
    const Verdict& verdict = total_.verdict;
    std::printf("%s", total_.stalls.text().c_str());
    std::printf("kills %lu, acknowledged %lu, lost %lu, duplicated %lu, reordered %lu, longest stall %.1f ms\n",
                total_.kills, verdict.acknowledged, verdict.lost, verdict.duplicated, verdict.reordered,
                static_cast<double>(total_.stalls.after_death().count()) / 1e6);
  }

  RunOptions options_;
  RoundResult total_;
};

void add_worker(CLI::App& app, const char* name, Status (*run)(const WorkerOptions&), WorkerOptions& options,
                Status (*&chosen)(const WorkerOptions&)) {
  CLI::App* const worker = app.add_subcommand(name, "a process of the crew, started by the run itself");
  worker->add_option("--socket", options.socket)->required();
  worker->add_option("--journal", options.journal)->required();
  worker->add_option("--end-file", options.end_file)->required();
  worker->add_option("--port", options.port);
  worker->add_option("--slot", options.slot);
  worker->add_option("--life", options.life);
  worker->add_option("--rate", options.rate);
  worker->add_option("--level", options.level);
  worker->callback([run, &chosen] { chosen = run; });
}

int work(Status (*run)(const WorkerOptions&), const WorkerOptions& options) {
  catch_end();
  const Status done = run(options);
  return done ? 0 : complain(std::string(to_string(done.error().code)) + ": " + done.error().message);
}

int main(int argc, char** argv) {
  CLI::App app{"Kills and stops the processes of a bus at random, and holds what they wrote down against the log"};
  RunOptions options;
  if (std::getenv("MILLRACE_SOAK") != nullptr) options.kills = 1000;
  app.add_option("--kills", options.kills, "kills in all; default 30, or 1,000 if MILLRACE_SOAK is set");
  app.add_option("--seed", options.seed, "of the schedule")->capture_default_str();
  app.add_option("--milliseconds-between", options.between, "least and most time between two of them")
      ->expected(2)
      ->capture_default_str();
  options.round.rate = 40'000;
  app.add_option("--rate", options.round.rate,
                 "events a second of each publisher in the mean, in bursts at full speed; 0: no limit")
      ->capture_default_str();
  app.add_option("--publishers", options.round.crew.publishers)->check(CLI::Range(1, 10))->capture_default_str();
  app.add_option("--subscribers", options.round.crew.subscribers, "of levels live, recorded, synced in turn")
      ->capture_default_str();
  app.add_option("--websockets", options.round.crew.websockets)->capture_default_str();
  app.add_option("--folder", options.folder, "where the run's own folder is made")->capture_default_str();
  app.add_flag("--keep", options.keep, "leave that folder there");
  WorkerOptions worker;
  Status (*chosen)(const WorkerOptions&) = nullptr;
  add_worker(app, "publisher", run_publisher, worker, chosen);
  add_worker(app, "subscriber", run_subscriber, worker, chosen);
  add_worker(app, "websocket", run_websocket, worker, chosen);
  CLI11_PARSE(app, argc, argv);
  if (chosen != nullptr) return work(chosen, worker);
  if (options.between[0] > options.between[1]) return complain("--milliseconds-between wants the lesser time first");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // a gateway that outlives its core comes here
  std::error_code error;
  options.folder = std::filesystem::absolute(options.folder, error).string();
  options.round.programs = std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
  return Torture(std::move(options)).run();
}

}  // namespace
}  // namespace millrace::torture

int main(int argc, char** argv) {
  return millrace::torture::main(argc, argv);
}
