// Proves with real processes that a consumer killed between taking a batch and acknowledging it, or anywhere else, is
// handed all that it had not acknowledged again, without a hole and cut as before or later.
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "bus/daemon/test/clients.hpp"

namespace millrace::delayed {
namespace {

using testing::eventually;
using testing::Process;
using testing::program;
using testing::TestCore;

struct Cut {
  std::uint64_t first, end;
};
std::vector<Cut> read(const std::string& path) {
  std::vector<Cut> cuts;
  std::ifstream file(path);
  for (Cut cut{}; file >> cut.first >> cut.end;) cuts.push_back(cut);
  return cuts;
}

TEST(BatcherProcesses, AConsumerKilledAtAnyPointLeavesNoHole) {
  TestCore core;
  const std::string file = core.folder() + "/batches";
  Process puppet = core.puppet("trade_events", "maker", 0);
  ASSERT_TRUE(puppet.line_with("recorded")) << puppet.errors();
  std::size_t seen = 0;
  for (int life = 0; life < 12; ++life) {
    if (life == 6) {
      core.kill();
      core.start();
    }
    Process taker({program("batch_taker"), core.socket(), "sink", file});
    const auto ready = taker.line_with("ready");
    ASSERT_TRUE(ready) << taker.errors();
    const std::uint64_t checkpoint = std::stoull(ready->substr(6));
    const auto before = read(file);
    EXPECT_LE(checkpoint, before.empty() ? 0 : before.back().end) << "acknowledged is what was taken";
    ASSERT_TRUE(eventually([&] { return read(file).size() >= seen + 20 + static_cast<std::size_t>(life) * 3; }))
        << taker.errors();
    taker.signal(SIGKILL);
    ASSERT_EQ(taker.wait(), 128 + SIGKILL) << taker.errors();
    const auto cuts = read(file);
    ASSERT_EQ(cuts[seen].first, checkpoint);
    std::map<std::uint64_t, std::uint64_t> handed_out;
    for (std::size_t i = 0; i < seen; ++i) {
      std::uint64_t& end = handed_out[cuts[i].first];
      end = std::max(end, cuts[i].end);
    }
    for (std::size_t i = seen; i < cuts.size(); ++i) {
      if (i > seen) {
        ASSERT_EQ(cuts[i].first, cuts[i - 1].end) << "no hole, and nothing twice to one process";
      }
      const auto again = handed_out.find(cuts[i].first);
      if (again != handed_out.end()) {
        EXPECT_GE(cuts[i].end, again->second) << "cut as before or later";
      }
    }
    seen = cuts.size();
  }
}

}  // namespace
}  // namespace millrace::delayed
