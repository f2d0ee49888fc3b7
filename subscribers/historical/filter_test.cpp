// Proves which events a replay wants, and that the payload of one that its header rejects is never looked at.
#include "subscribers/historical/filter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "subscribers/historical/testing/trade_log.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace::historical {
namespace {

using testing::at;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::offsets;
using testing::take;
using testing::TradeLog;

class FilterTest : public ::testing::Test {
 protected:
  FilterTest() {
    log_.add(at(0), {"MILL", "RACE", "MILL", "POND"});
    log_.add(at(1), {"RACE", "MILL"});
  }
  [[nodiscard]] Result<std::unique_ptr<Replay>> open(std::vector<std::string> filters, ReplayOptions options = {}) {
    return Replay::open({{.log = log_.log(), .filters = std::move(filters)}}, std::move(options));
  }
  [[nodiscard]] std::vector<std::uint64_t> wanted(std::vector<std::string> filters) {
    const auto replay = open(std::move(filters));
    EXPECT_TRUE(replay) << replay.error().message;
    const auto found = offsets(take(**replay));
    EXPECT_TRUE((*replay)->ended());
    EXPECT_EQ((*replay)->counts().filtered + found.size(), (*replay)->position().value());
    return found;
  }
  [[nodiscard]] std::string refusal(std::vector<std::string> filters) {
    const auto replay = open(std::move(filters));
    EXPECT_FALSE(replay);
    return replay ? "" : replay.error().message;
  }

  wal::FaultFileSystem disk_;
  TradeLog log_{disk_};
};

TEST_F(FilterTest, AnyValueOfAFieldAndEachField) {
  EXPECT_THAT(wanted({"instrument=MILL"}), ElementsAre(0, 2, 5));
  EXPECT_THAT(wanted({"instrument=MILL", "instrument=POND"}), ElementsAre(0, 2, 3, 5));
  EXPECT_THAT(wanted({"buy_order_id=3", "buy_order_id=4", "buy_order_id=5"}), ElementsAre(2, 3, 4));
  EXPECT_THAT(wanted({"instrument=MILL", "buy_order_id=3", "buy_order_id=4"}), ElementsAre(2));
  EXPECT_THAT(wanted({"account=alice", "instrument=RACE"}), ElementsAre(1, 4));
  EXPECT_THAT(wanted({"account=bob"}), ElementsAre());
  EXPECT_THAT(wanted({"event_type=trade_events", "instrument=POND"}), ElementsAre(3));
  EXPECT_THAT(wanted({"type=1", "instrument=POND"}), ElementsAre(3));
  EXPECT_THAT(wanted({"type=market_l2"}), ElementsAre());
  EXPECT_THAT(wanted({"type=market_l2", "type=trade_events", "instrument=POND"}), ElementsAre(3));
}

// Of a payload that is all nonsense the verifier would say so.
TEST_F(FilterTest, WhatTheHeaderRejectsIsNotLookedAt) {
  log_.add(at(2), {"RACE", "RACE", "POND"}, /*valid=*/false);
  log_.add(at(3), {"MILL"});
  const auto wants_mill = open({"instrument=MILL"}).value();
  EXPECT_THAT(offsets(take(*wants_mill)), ElementsAre(0, 2, 5, 9));
  EXPECT_EQ(wants_mill->counts().invalid, 0u);
  EXPECT_EQ(wants_mill->counts().filtered, 6u);
  const auto wants_orders = open({"type=orders"}).value();
  EXPECT_THAT(offsets(take(*wants_orders)), ElementsAre());
  EXPECT_EQ(wants_orders->counts().invalid, 0u);
  // The same log where the header does not decide.
  const auto wants_alice = open({"account=alice"}).value();
  EXPECT_EQ(take(*wants_alice).size(), 7u);
  EXPECT_EQ(wants_alice->counts().invalid, 3u);
}

TEST_F(FilterTest, AnEventThatOnlyHashesAlikeIsRejectedByItsPayload) {
  auto frame = testing::trade(7, "OTHER");
  FrameHeader header;
  std::memcpy(&header, frame.data(), sizeof header);
  header.key = key_of("MILL").value();
  std::memcpy(frame.data(), &header, sizeof header);
  ASSERT_TRUE(log_.writer().append(wal::testing::publisher, Epoch(1), Sequence(7), 1, frame, at(2)));
  EXPECT_THAT(wanted({"instrument=MILL"}), ElementsAre(0, 2, 5));
}

TEST_F(FilterTest, AnEventWithoutAKeyIsLookedAt) {
  auto frame = testing::trade(7, "MILL");
  FrameHeader header;
  std::memcpy(&header, frame.data(), sizeof header);
  header.key = 0;
  std::memcpy(frame.data(), &header, sizeof header);
  ASSERT_TRUE(log_.writer().append(wal::testing::publisher, Epoch(1), Sequence(7), 1, frame, at(2)));
  EXPECT_THAT(wanted({"instrument=MILL"}), ElementsAre(0, 2, 5, 6));
}

TEST_F(FilterTest, AFilteredEventIsVerifiedThoughVerifyingIsOff) {
  log_.add(at(2), {"MILL"}, /*valid=*/false);
  ReplayOptions unverified;
  unverified.verify = false;
  const auto replay = open({"instrument=MILL"}, unverified).value();
  EXPECT_THAT(offsets(take(*replay)), ElementsAre(0, 2, 5));
  EXPECT_EQ(replay->counts().invalid, 1u);
}

TEST_F(FilterTest, WhatCannotBeIsRefusedAtTheOpeningWithWhatCan) {
  EXPECT_THAT(refusal({"colour=red"}), AllOf(HasSubstr("trades: trade_events cannot be filtered by 'colour'"),
                                             HasSubstr("instrument"), HasSubstr("account")));
  EXPECT_THAT(refusal({"instrument"}), HasSubstr("'instrument' is not field=value"));
  EXPECT_THAT(refusal({"=MILL"}), HasSubstr("is not field=value"));
  EXPECT_THAT(refusal({"type=trades"}),
              AllOf(HasSubstr("'trades'"), HasSubstr("trade_events"), HasSubstr("market_l2")));
}

TEST_F(FilterTest, ATypeThatNobodyKnowsCannotBeFiltered) {
  TopicLog log = log_.log();
  log.types = [](EventTypeId, Offset) { return nullptr; };
  const auto replay = Replay::open({{.log = log, .filters = {"instrument=MILL"}}});
  ASSERT_FALSE(replay);
  EXPECT_THAT(replay.error().message, HasSubstr("events, of type 1, cannot be filtered"));
}

// None of the older events can be what is wanted. A field that only they have is refused.
TEST_F(FilterTest, AFieldThatANewerSchemaAddedIsOneToFilterBy) {
  const schemas::Registry types = schemas::Registry::built_in();
  const auto older =
      schemas::Registry::make_kept("trade_events", EventTypeId{1}, types.find("orders")->bfbs(), "", "", "test")
          .value();
  TopicLog log = log_.log();
  log.types = [&](EventTypeId id, Offset at) { return at < Offset(4) ? older.get() : types.find(id); };
  const auto replay = Replay::open({{.log = log, .filters = {"buyer_account=alice"}}});
  ASSERT_TRUE(replay) << replay.error().message;
  EXPECT_THAT(offsets(take(**replay)), ElementsAre(4, 5));
  EXPECT_FALSE((*replay)->error());
  EXPECT_EQ((*replay)->counts().filtered, 4u);
  const auto refused = Replay::open({{.log = log, .filters = {"client_order_id=1"}}});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("cannot be filtered by 'client_order_id'"));
}

// As a log's folder says it where a later core had another schema of the type.
TEST_F(FilterTest, EachEventIsOfTheTypeThatItWasWrittenBy) {
  const schemas::Registry before = schemas::Registry::built_in();
  const schemas::Registry after = schemas::Registry::built_in();
  TopicLog log = log_.log();
  log.types = [&](EventTypeId id, Offset at) { return (at < Offset(4) ? before : after).find(id); };
  const auto replay = Replay::open({{.log = log}}).value();
  std::size_t count = 0;
  while (!replay->ended()) {
    replay->poll([&](const Event& event, std::size_t) {
      const schemas::Registry& expected = *event.offset < Offset(4) ? before : after;
      EXPECT_EQ(replay->type(), expected.find(event.frame.event_type())) << event.offset->value();
      ++count;
    });
  }
  EXPECT_EQ(count, log_.writer().next_offset().value());
}

}  // namespace
}  // namespace millrace::historical
