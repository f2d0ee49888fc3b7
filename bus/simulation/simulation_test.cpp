// Proves the promises of bus/README.md over a simulated host: whatever dies and whatever the disk does, nothing that
// was reported synced is lost, nothing is there twice, out of order or missing untold, and watermarks never go back.
//
//   MILLRACE_SEED=n   that seed alone, with all its steps
//   MILLRACE_SOAK=1   many more seeds
#include "bus/simulation/simulation.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace millrace::simulation {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t seeds_usual = 300;
constexpr std::uint64_t seeds_soak = 5000;
#else
constexpr std::uint64_t seeds_usual = 5000;
constexpr std::uint64_t seeds_soak = 100'000;
#endif
constexpr int failures_max = 5;
constexpr std::size_t steps_shown = 25;

std::uint64_t seed_now = 0;

std::string replay(std::uint64_t seed) {
  return "replay with MILLRACE_SEED=" + std::to_string(seed) + " --gtest_filter=Simulation.*\n";
}

// An assertion ends the process: the seed must be known then too.
void on_abort(int) {
  std::fputs(("simulation: seed " + std::to_string(seed_now) + " ended the process; " + replay(seed_now)).c_str(),
             stderr);
  std::signal(SIGABRT, SIG_DFL);
}

bool holds(std::uint64_t seed, bool print, Simulation::Totals& sum) {
  seed_now = seed;
  Simulation simulation(seed, print);
  const std::string violation = simulation.run();
  const Simulation::Totals& totals = simulation.totals();
  sum.steps += totals.steps;
  sum.committed += totals.committed;
  sum.recorded += totals.recorded;
  sum.seen += totals.seen;
  sum.core_deaths += totals.core_deaths;
  sum.host_deaths += totals.host_deaths;
  sum.disk_failures += totals.disk_failures;
  sum.heals += totals.heals;
  sum.resumes += totals.resumes;
  sum.rolled_back += totals.rolled_back;
  sum.gaps += totals.gaps;
  sum.reopened += totals.reopened;
  sum.acknowledged += totals.acknowledged;
  sum.given_up += totals.given_up;
  sum.checkpoints += totals.checkpoints;
  sum.fenced += totals.fenced;
  if (violation.empty()) return true;
  std::string steps;
  const auto& trace = simulation.trace();
  for (std::size_t i = trace.size() - std::min(trace.size(), steps_shown); i < trace.size(); ++i) {
    steps += trace[i] + "\n";
  }
  ADD_FAILURE() << "seed " << seed << ": " << violation << "\n" << (print ? "" : steps) << replay(seed);
  return false;
}

TEST(Simulation, EverySeedHoldsWhatIsPromised) {
  std::signal(SIGABRT, on_abort);
  Simulation::Totals sum;
  if (const char* seed = std::getenv("MILLRACE_SEED")) {
    (void)holds(std::strtoull(seed, nullptr, 10), true, sum);
    return;
  }
  const std::uint64_t seeds = std::getenv("MILLRACE_SOAK") != nullptr ? seeds_soak : seeds_usual;
  int failures = 0;
  for (std::uint64_t seed = 1; seed <= seeds && failures < failures_max; ++seed) {
    if (!holds(seed, false, sum)) ++failures;
  }
  std::printf(
      "seeds %lu, steps %lu, committed %lu, in the log %lu, seen %lu, given up %lu; died: cores %lu, hosts %lu; "
      "disks that failed %lu, falls back to the log %lu, resumed %lu, rolled back %lu; reopened %lu, "
      "acknowledged %lu, told lost %lu, checkpoints %lu, fenced %lu\n",
      seeds, sum.steps, sum.committed, sum.recorded, sum.seen, sum.gaps, sum.core_deaths, sum.host_deaths,
      sum.disk_failures, sum.heals, sum.resumes, sum.rolled_back, sum.reopened, sum.acknowledged, sum.given_up,
      sum.checkpoints, sum.fenced);
  if (failures > 0) return;
  // All of it happened, or the seeds prove nothing.
  EXPECT_GT(sum.gaps, 0u);
  EXPECT_GT(sum.heals, 0u);
  EXPECT_GT(sum.resumes, 0u);
  EXPECT_GT(sum.rolled_back, 0u);
  EXPECT_GT(sum.disk_failures, 0u);
  EXPECT_GT(sum.reopened, 0u);
  EXPECT_GT(sum.acknowledged, 0u);
  EXPECT_GT(sum.given_up, 0u);
  EXPECT_GT(sum.checkpoints, 0u);
  EXPECT_GT(sum.fenced, 0u);
}

TEST(Simulation, ASeedReplaysExactly) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    Simulation first(seed);
    Simulation second(seed);
    EXPECT_EQ(first.run(), second.run());
    EXPECT_EQ(first.trace(), second.trace()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace millrace::simulation
