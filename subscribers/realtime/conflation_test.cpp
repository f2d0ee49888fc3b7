// Proves that a conflation keeps exactly the newest event of each key, and every event that has none, of what passes
// the filter, however the range is cut into blocks and looks, and that it stays within its bound of keys.
#include "subscribers/realtime/conflation.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "subscribers/realtime/gather.hpp"
#include "subscribers/realtime/testing/memory_source.hpp"

namespace millrace::gateway {
namespace {

class ConflationTest : public ::testing::Test {
 protected:
  // Of instrument `name`; without a key if that is empty; not valid if `garbage`.
  void add(EventBlock& block, Offset offset, const std::string& name, bool garbage = false) {
    const auto payload = type_.from_json("{\"instrument\":\"" + name + "\"}").value();
    const auto bytes = garbage ? std::vector<std::byte>(8) : payload;
    const auto frame = testing::make_frame(Sequence(offset.value() + 1), WallTime{0}, type_.key(payload), bytes);
    block.append({offset, WallTime{0}, PublisherId(1), Epoch(1), FrameView(frame.data())}, type_);
  }
  static std::vector<std::uint64_t> numbers(const std::vector<Offset>& offsets) {
    std::vector<std::uint64_t> out;
    for (const Offset offset : offsets) out.push_back(offset.value());
    return out;
  }
  schemas::Registry registry_ = schemas::Registry::built_in();
  const schemas::EventType& type_ = *registry_.find("trade_events");
  const protocol::Filter all_;
};

TEST_F(ConflationTest, TheNewestOfEachKeyAndAllThatCannotBeComparedAreKept) {
  EventBlock block;
  const std::vector<std::string> names = {"A", "B", "A", "", "A", "", "B", "C"};
  for (std::size_t i = 0; i < names.size(); ++i) add(block, Offset(10 + i), names[i]);
  add(block, Offset(18), "C", true);  // does not stand in the place of one that can be read
  Lookahead lookahead(Offset(10), Offset(19), 100);
  lookahead.look(block, all_, type_, SIZE_MAX);
  ASSERT_TRUE(lookahead.done());
  EXPECT_EQ(numbers(lookahead.plan().kept), (std::vector<std::uint64_t>{13, 14, 15, 16, 17, 18}));
  EXPECT_EQ(lookahead.plan().end, Offset(19));
}

TEST_F(ConflationTest, ARangeOfTooManyKeysEndsWhereTheyAreTooMany) {
  EventBlock block;
  for (std::uint64_t i = 0; i < 20; ++i) add(block, Offset(i), "K" + std::to_string(i / 2));
  Lookahead lookahead(Offset(0), Offset(20), 3);
  lookahead.look(block, all_, type_, SIZE_MAX);
  ASSERT_TRUE(lookahead.done());
  EXPECT_EQ(lookahead.plan().end, Offset(5)) << "the third key's first event fills it";
  EXPECT_EQ(numbers(lookahead.plan().kept), (std::vector<std::uint64_t>{1, 3, 4}));
}

TEST_F(ConflationTest, AnySequenceOfEventsBlocksAndLooksGivesWhatTheModelSays) {
  for (std::uint32_t seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const std::uint64_t first = random() % 50;
    const std::uint64_t count = 1 + random() % 200;
    const auto keys = 1 + random() % 12;
    protocol::Filter filter;
    if (random() % 2 == 0) filter = {"instrument", {"K1", "K3", "K4"}, {key_of("K1"), key_of("K3"), key_of("K4")}};
    Lookahead lookahead(Offset(first), Offset(first + count), 1000);
    std::vector<EventBlock> blocks(1);
    std::map<std::string, std::uint64_t> newest;
    std::set<std::uint64_t> expected;
    std::uint64_t passing = 0;
    for (std::uint64_t i = 0; i < first + count; ++i) {
      if (!blocks.back().empty() && random() % 10 == 0) blocks.emplace_back();
      const auto key = random() % (keys + 1);
      const std::string name = key == 0 ? "" : "K" + std::to_string(key);
      add(blocks.back(), Offset(i), name);
      const bool passes = filter.field.empty() || name == "K1" || name == "K3" || name == "K4";
      if (i < first || !passes) continue;
      ++passing;
      if (name.empty()) {
        expected.insert(i);
      } else {
        newest[name] = i;
      }
    }
    for (const auto& [name, offset] : newest) expected.insert(offset);
    while (!lookahead.done()) {
      for (const EventBlock& block : blocks) {
        if (block.first() <= lookahead.next() && lookahead.next() < block.next()) {
          lookahead.look(block, filter, type_, 1 + random() % 30);
        }
      }
    }
    const auto plan = std::make_shared<const Plan>(lookahead.plan());
    ASSERT_EQ(numbers(plan->kept), std::vector<std::uint64_t>(expected.begin(), expected.end())) << "seed " << seed;
    // Gathered with the plan, what is left out is counted.
    const View view{std::make_shared<const protocol::Filter>(filter), plan, protocol::Encoding::binary};
    Body body;
    body.first = body.next = Offset(first);
    Counters counters;
    for (EventBlock& block : blocks) {
      if (block.next() > body.next) gather(block, view, type_, {}, body, counters);
    }
    ASSERT_EQ(body.next, Offset(first + count)) << "seed " << seed;
    ASSERT_EQ(body.count, expected.size()) << "seed " << seed;
    ASSERT_EQ(body.conflated, passing - expected.size()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace millrace::gateway
