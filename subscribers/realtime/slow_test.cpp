// Proves what a slow client may rely on under each policy: that what it is not sent is told and counted, that its books
// balance whatever the schedule, that a conflation sends exactly the newest of each key, and that healing loses
// nothing.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <set>
#include <thread>

#include "subscribers/realtime/testing/account_keeper.hpp"
#include "subscribers/realtime/testing/with_gateway.hpp"

namespace millrace::gateway {
namespace {

using testing::AccountKeeper;

// A gateway whose memory, messages and sockets are small, and a model of what was published to it.
class SlowTest : public testing::WithGateway {
 protected:
  SlowTest() {
    options_.heartbeat = std::chrono::milliseconds(5);  // a client that waits for a message is never alone for long
    options_.message_size_max = 8 * 1024;
    options_.send_buffer = 4 * 1024;
    options_.cache_events = 256;
  }
  [[nodiscard]] AccountKeeper subscribe(const std::string& fields) {
    return AccountKeeper(gateway_->port(), fields, 4096);
  }
  // Without a key if `name` is empty.
  void publish(const std::string& name, std::size_t count = 1) {
    for (std::size_t i = 0; i < count; ++i) {
      source_.publish_numbered(0, name);
      names_.push_back(name);
    }
  }
  void wait_until_fed() { ASSERT_TRUE(eventually(Counter::events, names_.size() - first_fed_)); }

  // Everything the client saw between its first offset and `end`, against the model.
  void expect_accounted(const AccountKeeper& client, std::uint64_t end, const std::set<std::string>& wanted) const {
    const auto passes = [&](std::uint64_t offset) { return wanted.empty() || wanted.contains(names_[offset]); };
    enum class Fate { unseen, sent, conflated, deleted };
    std::vector<Fate> fates(names_.size(), Fate::unseen);
    std::uint64_t after = client.first;
    for (const std::uint64_t offset : client.offsets) {
      ASSERT_TRUE(offset >= after && offset < end) << offset << " comes in order, and once";
      ASSERT_TRUE(passes(offset)) << offset;
      fates[offset] = Fate::sent;
      after = offset + 1;
    }
    for (const auto& left : client.deleted) {
      for (std::uint64_t i = left.from; i <= left.to; ++i) {
        ASSERT_EQ(fates[i], Fate::unseen) << i;
        fates[i] = Fate::deleted;
      }
    }
    for (const auto& left : client.conflated) {
      ASSERT_LE(left.to, left.merged_to);
      std::set<std::string> newer;
      std::uint64_t count = 0;
      for (std::uint64_t i = left.merged_to + 1; i-- > left.from;) {
        if (!passes(i)) continue;
        const bool replaced = !names_[i].empty() && !newer.insert(names_[i]).second;
        if (i > left.to) continue;
        ASSERT_EQ(fates[i], replaced ? Fate::unseen : Fate::sent) << i << " in " << left.from << " to " << left.to;
        if (!replaced) continue;
        fates[i] = Fate::conflated;
        ++count;
      }
      ASSERT_EQ(left.count, count);
    }
    std::vector<AccountKeeper::NotRecorded> missing;
    for (std::uint64_t i = client.first; i < end; ++i) {
      if (passes(i)) {
        ASSERT_NE(fates[i], Fate::unseen) << i << " is lost without a word";
      }
      // What lies before the first event seen, or seen again, cannot be told from what was before that.
      const auto jump = jumps_.find(i);
      if (jump == jumps_.end() || i == client.first || fates[i] == Fate::deleted || fates[i - 1] == Fate::deleted) {
        continue;
      }
      missing.push_back({jump->second.first, jump->second.second, i});
    }
    EXPECT_EQ(client.not_recorded, missing);
  }

  std::vector<std::string> names_;                                          // by offset
  std::size_t first_fed_ = 0;                                               // events from before the gateway's start
  std::map<std::uint64_t, std::pair<std::uint64_t, std::uint64_t>> jumps_;  // by the offset behind: sequences
};

TEST_F(SlowTest, AConflatingClientGetsTheNewestOfEachKeyAndTheMergedRangeIsNamed) {
  start();
  auto client = subscribe(R"(,"slow":"conflate","queue":100)");
  EXPECT_EQ(client.subscribed.at("slow"), "conflate");
  EXPECT_EQ(client.subscribed.at("queue"), 100);
  for (int i = 0; i < 1000; ++i) publish("K" + std::to_string(i % 7));
  wait_until_fed();
  ASSERT_TRUE(client.until(1000));
  expect_accounted(client, 1000, {});
  client.expect_balance(client.books);
  ASSERT_FALSE(client.conflated.empty());
  EXPECT_LT(client.offsets.size(), 600u);
  for (std::uint64_t i = 993; i < 1000; ++i) EXPECT_EQ(client.offsets[client.offsets.size() - 1000 + i], i);
}

TEST_F(SlowTest, AClientWithinItsBoundMissesNothingThoughItConflates) {
  start();
  auto client = subscribe(R"(,"slow":"conflate","queue":100)");
  for (int i = 0; i < 20; ++i) {
    publish("A", 50);
    wait_until_fed();
    ASSERT_TRUE(client.until(names_.size()));
  }
  EXPECT_EQ(client.offsets.size(), 1000u);
  EXPECT_TRUE(client.conflated.empty());
  EXPECT_EQ(gateway_->count(Counter::conflations), 0u);
}

TEST_F(SlowTest, AStartAtTheEarliestThatConflatesIsAPictureOfEachKeyAndThenLive) {
  for (int i = 0; i < 5000; ++i) publish("K" + std::to_string(i % 10));
  first_fed_ = names_.size();
  start();
  auto client = subscribe(R"(,"start":"earliest","slow":"conflate","queue":20)");
  ASSERT_TRUE(client.until(5000));
  EXPECT_EQ(client.offsets, (std::vector<std::uint64_t>{4990, 4991, 4992, 4993, 4994, 4995, 4996, 4997, 4998, 4999}));
  publish("K3", 2);
  ASSERT_TRUE(client.until(5002));
  expect_accounted(client, 5002, {});
  client.expect_balance(client.books);
  EXPECT_EQ(AccountKeeper::number(client.books.at("books"), "healed"), 0u) << "the start asked for the log";
}

TEST_F(SlowTest, AClientThatIsToBeDisconnectedIsToldWhereToResumeAndClosedWithACodeOfItsOwn) {
  start();
  auto peer = subscribe("");
  auto client = subscribe(R"(,"slow":"disconnect","queue":100)");
  source_.hold_poll(true);  // fed one by one, it might keep up
  publish("A", 3000);
  source_.hold_poll(false);
  wait_until_fed();
  while (client.one()) {
  }
  ASSERT_EQ(client.ended, "too_slow");
  EXPECT_EQ(client.close_code(), 4001);
  EXPECT_EQ(gateway_->count(Counter::sessions_cut_behind), 1u);
  const std::uint64_t next = AccountKeeper::number(client.last, "next_offset");
  client.expect_balance(client.last);
  expect_accounted(client, next, {});
  // What it resumes with is no slowness: it is let catch up, however far behind it begins.
  auto again = subscribe(R"(,"slow":"disconnect","queue":100,"start":{"offset":)" + std::to_string(next) + "}");
  ASSERT_TRUE(again.until(3000));
  EXPECT_EQ(client.offsets.size() + again.offsets.size(), 3000u);
  ASSERT_TRUE(peer.until(3000));
  EXPECT_EQ(peer.offsets.size(), 3000u) << "nobody else is disturbed";
}

TEST_F(SlowTest, NothingComesBetweenTheErrorAndTheEndThoughAnotherSubscriptionHasMore) {
  start();
  client::WsClient client(gateway_->port(), {.receive_buffer = 4096, .origin = {}});
  client.send(R"({"op":"subscribe","topic":"trade_events","slow":"disconnect","queue":100})");
  client.send(R"({"op":"subscribe","topic":"trade_events"})");
  client.expect("subscribed");
  client.expect("subscribed");
  source_.hold_poll(true);
  publish("A", 5000);
  source_.hold_poll(false);
  wait_until_fed();
  const auto error = client.receive_type("error");
  ASSERT_FALSE(error.is_null());
  EXPECT_EQ(error.at("code"), "too_slow");
  EXPECT_EQ(error.at("subscription"), 1);
  EXPECT_FALSE(client.receive());
  EXPECT_EQ(client.close_code(), 4001);
}

TEST_F(SlowTest, WhatRetentionDeletedEndsTheSubscriptionOrIsSkippedAsTheCallerChose) {
  publish("A", 100);
  first_fed_ = names_.size();
  source_.forget_before(0, Offset(40));
  start();
  auto skipping = subscribe(R"(,"start":{"offset":10},"on_deleted":"skip")");
  EXPECT_EQ(skipping.first, 10u);
  ASSERT_TRUE(skipping.until(100));
  ASSERT_EQ(skipping.deleted.size(), 1u);
  EXPECT_EQ(skipping.deleted[0].from, 10u);
  EXPECT_EQ(skipping.deleted[0].to, 39u);
  expect_accounted(skipping, 100, {});
  skipping.expect_balance(skipping.books);
  EXPECT_EQ(gateway_->count(Counter::gaps_deleted), 1u);

  auto ending = subscribe("");
  publish("A", 5000);  // more than its socket and memory hold
  wait_until_fed();
  source_.forget_before(0, Offset(5000));
  while (ending.one()) {
  }
  ASSERT_EQ(ending.ended, "offset_deleted");
  ending.expect_balance(ending.last);
  expect_accounted(ending, AccountKeeper::number(ending.last, "next_offset"), {});
}

TEST_F(SlowTest, WhatTheLogNeverHadIsToldOnceWhetherItComesFromMemoryOrFromTheLog) {
  publish("A", 10);
  source_.skip_sequences(0, 3);
  publish("A", 10);
  first_fed_ = names_.size();
  start();
  for (const char* format : {"json", "binary"}) {
    auto client =
        subscribe(R"(,"start":"earliest","filter":{"instrument":"B"},"format":")" + std::string(format) + '"');
    ASSERT_TRUE(client.until(names_.size()));
    ASSERT_FALSE(client.not_recorded.empty());
    EXPECT_EQ(client.not_recorded[0], (AccountKeeper::NotRecorded{11, 13, 10}));
    const std::size_t before = client.not_recorded.size();
    const std::uint64_t next = names_.size();
    const std::uint64_t sequence = next + 1 + 3 * before;
    source_.skip_sequences(0, 3);
    publish("B", 10);
    ASSERT_TRUE(client.until(names_.size()));
    ASSERT_EQ(client.not_recorded.size(), before + 1);
    EXPECT_EQ(client.not_recorded.back(), (AccountKeeper::NotRecorded{sequence, sequence + 2, next}));
    client.expect_balance(client.books);
  }
}

TEST_F(SlowTest, APolicyThatCannotBeIsRefused) {
  options_.queue_max = 50;
  start();
  client::WsClient client(gateway_->port());
  const auto code = [&](const std::string& fields) {
    client.send(R"({"op":"subscribe","topic":"trade_events",)" + fields + "}");
    return std::string(client.receive_type("error").at("code").as_string());
  };
  EXPECT_EQ(code(R"("slow":"lossy")"), "bad_slow");
  EXPECT_EQ(code(R"("slow":1)"), "bad_slow");
  EXPECT_EQ(code(R"("slow":"conflate","queue":0)"), "bad_slow");
  EXPECT_EQ(code(R"("slow":"conflate","queue":51)"), "bad_slow");
  EXPECT_EQ(code(R"("queue":5)"), "bad_slow");
  EXPECT_EQ(code(R"("on_deleted":"ignore")"), "bad_on_deleted");
  client.send(R"({"op":"books","subscription":1})");
  EXPECT_EQ(client.receive_type("error").at("code"), "unknown_subscription");
}

// One seeded schedule: bursts of several keys, a client that reads a little now and then, retention, and what the log
// never had; at the end the client reads on to the last offset, coming back if it was cut off.
class SlowSchedule : public SlowTest, public ::testing::WithParamInterface<std::tuple<const char*, unsigned>> {
 protected:
  void run(unsigned seed) {
    std::mt19937 random(seed);
    const auto up_to = [&](std::uint64_t most) { return random() % (most + 1); };
    options_.cache_events = 16 + up_to(500);
    options_.message_size_max = 1024 + up_to(8 * 1024);
    options_.conflated_keys_max = up_to(3) == 0 ? 3 : 1000;
    for (std::uint64_t before = up_to(400); before > 0; --before) publish("K" + std::to_string(up_to(3)));
    first_fed_ = names_.size();
    start();
    const std::string policy = std::get<0>(GetParam());
    std::string fields = R"(,"slow":")" + policy + '"';
    if (policy != "heal") fields += ",\"queue\":" + std::to_string(1 + up_to(300));
    const bool skips = up_to(3) > 0;
    if (skips) fields += R"(,"on_deleted":"skip")";
    if (up_to(1) == 0) fields += R"(,"format":"binary")";
    std::set<std::string> wanted;
    if (up_to(1) == 0) {
      wanted = {"K1", "K2"};
      fields += R"(,"filter":{"instrument":["K1","K2"]})";
    }
    // Half of them at level synced, on a disk that lags; from numbers of its own.
    std::mt19937 disk(seed + 1000);
    const bool synced = disk() % 2 == 0;
    std::uint64_t synced_end = names_.size();
    const auto sync_to = [&](std::uint64_t end) { source_.sync(0, Offset(synced_end = end)); };
    if (synced) {
      source_.hold_sync(true);
      fields += R"(,"level":"synced")";
    }
    auto client = std::make_unique<AccountKeeper>(gateway_->port(),
                                                  fields + (up_to(1) == 0 ? R"(,"start":"earliest")" : ""), 4096);
    const auto go_on = [&] {
      const std::uint64_t next = AccountKeeper::number(client->last, "next_offset");
      client->expect_balance(client->last);
      expect_accounted(*client, next, wanted);
      if (client->ended == "offset_deleted") {
        EXPECT_FALSE(skips);
        client = std::make_unique<AccountKeeper>(gateway_->port(), fields + R"(,"start":"earliest")", 4096);
        return;
      }
      EXPECT_EQ(client->ended, "too_slow");
      EXPECT_EQ(policy, "disconnect");
      EXPECT_EQ(client->close_code(), 4001);
      // Where retention has been, one that does not skip is refused at its place.
      const std::string at = skips ? "{\"offset\":" + std::to_string(next) + '}' : R"("earliest")";
      client = std::make_unique<AccountKeeper>(gateway_->port(), fields + ",\"start\":" + at, 4096);
      if (skips) {
        EXPECT_EQ(client->first, next);
      }
    };
    for (std::uint64_t step = 5 + up_to(10); step > 0; --step) {
      switch (up_to(5)) {
        case 0:
          // What is not synced is never deleted.
          source_.forget_before(0,
                                Offset(std::min(synced ? synced_end : names_.size(),
                                                names_.size() - std::min<std::uint64_t>(names_.size(), up_to(300)))));
          break;
        case 1: {
          const std::uint64_t sequence = names_.size() + 1 + skipped_;
          const std::uint64_t count = 1 + up_to(5);
          source_.skip_sequences(0, count);
          skipped_ += count;
          jumps_[names_.size()] = {sequence, sequence + count - 1};
          publish("K1");
          break;
        }
        case 2:
        case 3:
          for (std::uint64_t i = up_to(600); i > 0; --i) {
            const auto key = up_to(5);
            publish(key == 0 ? "" : "K" + std::to_string(key));
          }
          if (up_to(2) > 0) wait_until_fed();
          break;
        default:
          for (std::uint64_t i = up_to(12); i > 0; --i) {
            if (!client->one()) go_on();
          }
      }
      if (synced) {
        EXPECT_TRUE(client->offsets.empty() || client->offsets.back() < synced_end) << "shown before it was synced";
        if (disk() % 2 == 0) sync_to(synced_end + disk() % (names_.size() - synced_end + 1));
      }
      if (HasFatalFailure()) return;
    }
    if (synced) sync_to(names_.size());
    while (!client->until(names_.size())) {
      go_on();
      if (HasFailure()) return;
    }
    expect_accounted(*client, names_.size(), wanted);
    client->expect_balance(client->books);
    EXPECT_TRUE(policy == "conflate" || client->conflated.empty());
    client->unsubscribe();
    ASSERT_EQ(client->ended, "unsubscribed");
    client->expect_balance(client->last);
  }

  std::uint64_t skipped_ = 0;
};

TEST_P(SlowSchedule, TheBooksBalanceAndEachEventIsSentOrToldOf) {
  run(std::get<1>(GetParam()));
}
INSTANTIATE_TEST_SUITE_P(Seeds, SlowSchedule,
                         ::testing::Combine(::testing::Values("heal", "conflate", "disconnect"),
                                            ::testing::Range(0u, 40u)));

TEST_F(SlowTest, APlanOfEventsThatWereTakenBackIsNotFollowed) {
  options_.cache_events = 64 * 1024;
  source_.hold_sync(true);
  start();
  for (int i = 0; i < 1'000; ++i) source_.publish_numbered(0, "K" + std::to_string(i));
  for (int i = 0; i < 1'000; ++i) source_.publish_numbered(0, "A");
  source_.sync(0, Offset(1'000));
  ASSERT_TRUE(eventually(Counter::events, 2'000));
  client::WsClient client(gateway_->port(), {.receive_buffer = 4096, .origin = {}});
  client.send(R"({"op":"subscribe","topic":"trade_events","start":{"offset":0},"slow":"conflate","queue":20})");
  ASSERT_TRUE(eventually(Counter::conflations, 1));
  // Its socket is full long before the thousandth event.
  source_.roll_back(0);
  for (int i = 0; i < 1'000; ++i) source_.publish_numbered(0, "L" + std::to_string(i));
  ASSERT_TRUE(eventually(Counter::events, 3'000));
  const auto events = client.receive_events(2'000);
  ASSERT_EQ(events.size(), 2'000u);
  for (std::size_t i = 0; i < events.size(); ++i) {
    ASSERT_EQ(events[i].at("offset"), i);
    const std::string instrument = (i < 1'000 ? "K" : "L") + std::to_string(i % 1'000);
    ASSERT_EQ(events[i].at("data").at("instrument").as_string().c_str(), instrument);
  }
}

}  // namespace
}  // namespace millrace::gateway
