// Proves how the core hands out pages: ahead of the publisher, oldest first, never one that is leased or not yet synced
// (but under live_only), and that a dead publisher's page ends where its commits end.
#include "bus/ring/pages.hpp"

#include <gtest/gtest.h>

#include "bus/base/fd.hpp"
#include "bus/ring/reader.hpp"
#include "bus/ring/writer.hpp"

namespace millrace::ring {
namespace {

constexpr std::size_t page_size = 4096;
constexpr std::size_t one_a_page = page_size - sizeof(PageHeader) - frame_header_size;

struct Fixture {
  Mapping memory;
  Ring ring;
  Pages pages;

  Fixture(std::size_t slots, StallPolicy policy)
      : memory(*Mapping::anonymous(page_size * (slots + 1))),
        ring(*Ring::create(memory.bytes(), page_size)),
        pages(ring, 2, policy) {
    pages.assign(PublisherId(1), Epoch(1));
  }
};

// Publishes events of a page each until the core grants no more, or `limit`.
int publish_pages(Fixture& f, Writer& writer, int limit) {
  int count = 0;
  while (count < limit && writer.claim(one_a_page).status == ClaimStatus::ok) {
    writer.commit({});
    ++count;
    f.pages.do_work();
  }
  return count;
}

TEST(Pages, AreGrantedAheadOfThePublisher) {
  Fixture f(8, StallPolicy::block);
  EXPECT_EQ(f.ring.header().core.granted.load(), 3u);
  Writer writer(f.ring, f.pages.first_page(), Sequence(1));
  EXPECT_EQ(publish_pages(f, writer, 3), 3);
  EXPECT_EQ(f.ring.header().core.granted.load(), 5u);
}

TEST(Pages, WithUnsyncedOnesBlockAPublisherUntilTheyAreReleased) {
  Fixture f(8, StallPolicy::block);
  Writer writer(f.ring, f.pages.first_page(), Sequence(1));
  EXPECT_EQ(publish_pages(f, writer, 100), 8);
  EXPECT_TRUE(f.pages.starved());
  f.pages.hold_from(PageNumber(4));
  f.pages.do_work();
  EXPECT_EQ(publish_pages(f, writer, 100), 3);
}

TEST(Pages, UnderLiveOnlyAreRecycledUnsynced) {
  Fixture f(8, StallPolicy::live_only);
  Writer writer(f.ring, f.pages.first_page(), Sequence(1));
  EXPECT_EQ(publish_pages(f, writer, 100), 100);
  EXPECT_GT(f.pages.recycled_unsynced(), 0u);
}

TEST(Pages, OfAStalledReaderArePinnedOneByOneAndStopNobody) {
  Fixture f(8, StallPolicy::block);
  f.pages.hold_from(PageNumber(1ull << 39));
  Word stalled{0}, quick{0};
  f.pages.set_leases({&stalled, &quick});
  Reader reader(f.ring, stalled);
  Writer writer(f.ring, f.pages.first_page(), Sequence(1));
  ASSERT_EQ(publish_pages(f, writer, 1), 1);
  const auto held = reader.available();
  ASSERT_FALSE(held.empty());
  EXPECT_EQ(publish_pages(f, writer, 100), 100);
  FrameCursor cursor(held);
  EXPECT_EQ(cursor.next()->sequence(), Sequence(1)) << "its page was left alone";
  reader.consume(held.size());
  const auto next = reader.available();
  ASSERT_FALSE(next.empty());
  EXPECT_EQ(reader.laps(), 1u);
  FrameCursor later(next);
  EXPECT_GT(later.next()->sequence(), Sequence(90)) << "it goes on with the oldest page there is";
}

TEST(Pages, OfADeadPublisherEndWhereItsCommitsEndAndTheNextBeginsBehind) {
  Fixture f(8, StallPolicy::block);
  Word lease{0};
  f.pages.set_leases({&lease});
  Reader reader(f.ring, lease);
  Writer dead(f.ring, f.pages.first_page(), Sequence(1));
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(dead.claim(8).status, ClaimStatus::ok);
    dead.commit({});
  }
  ASSERT_EQ(dead.claim(8).status, ClaimStatus::ok);  // dies with a claim open
  f.pages.close();
  f.pages.assign(PublisherId(2), Epoch(5));
  Writer heir(f.ring, f.pages.first_page(), Sequence(1));
  ASSERT_EQ(heir.claim(8).status, ClaimStatus::ok);
  heir.commit({});

  auto bytes = reader.available();
  EXPECT_EQ(bytes.size(), 3 * frame_size(8));
  EXPECT_EQ(reader.publisher(), PublisherId(1));
  reader.consume(bytes.size());
  bytes = reader.available();
  EXPECT_EQ(bytes.size(), frame_size(8));
  EXPECT_EQ(reader.publisher(), PublisherId(2));
  EXPECT_EQ(reader.epoch(), Epoch(5));
}

TEST(Pages, OfAPublisherThatDiedWhileRollingLoseNothing) {
  Fixture f(8, StallPolicy::block);
  Word lease{0};
  Reader reader(f.ring, lease);
  Writer dead(f.ring, f.pages.first_page(), Sequence(1));
  ASSERT_EQ(dead.claim(one_a_page).status, ClaimStatus::ok);
  dead.commit({});
  f.ring.header().publisher.current_page.store(2);  // it had entered the next page, but not sealed this one
  f.pages.close();
  // Pages 2 and 3 were granted. A writer seals a page before it commits in the next, so nothing is lost with them. They
  // are granted anew as 4 and up: a hostile publisher may have led readers into them, who must not take up the next
  // publisher's events in the middle.
  EXPECT_EQ(f.pages.first_page(), PageNumber(4)) << "nobody gets a page under a number that was another's";
  const auto bytes = reader.available();
  EXPECT_FALSE(bytes.empty());
  reader.consume(bytes.size());
  EXPECT_TRUE(reader.available().empty());
  f.pages.assign(PublisherId(2), Epoch(1));
  Writer heir(f.ring, f.pages.first_page(), Sequence(1));
  EXPECT_EQ(publish_pages(f, heir, 100), 7) << "only the page with the dead publisher's event is taken";
  const auto next = reader.available();
  FrameCursor cursor(next);
  EXPECT_EQ(cursor.next()->sequence(), Sequence(1));
  EXPECT_EQ(reader.page(), PageNumber(4));
  EXPECT_EQ(reader.publisher(), PublisherId(2));
}

TEST(Reader, JoinsAtTheTailOrAtTheOldestPage) {
  Fixture f(8, StallPolicy::block);
  f.pages.hold_from(PageNumber(1ull << 39));
  Writer writer(f.ring, f.pages.first_page(), Sequence(1));
  Word early_lease{0};
  Reader early(f.ring, early_lease);
  early.join_at_tail();
  EXPECT_TRUE(early.available().empty());
  ASSERT_EQ(publish_pages(f, writer, 20), 20);
  Word tail_lease{0}, oldest_lease{0};
  Reader tail(f.ring, tail_lease), oldest(f.ring, oldest_lease);
  tail.join_at_tail();
  EXPECT_TRUE(tail.available().empty());
  oldest.join_at_oldest();
  ASSERT_FALSE(oldest.available().empty());
  EXPECT_GT(oldest.page(), PageNumber(10));
  ASSERT_EQ(publish_pages(f, writer, 1), 1);
  const auto bytes = tail.available();
  ASSERT_FALSE(bytes.empty());
  FrameCursor cursor(bytes);
  EXPECT_EQ(cursor.next()->sequence(), Sequence(21));
}

TEST(Reader, GoesToAPageOnlyIfItIsStillThere) {
  Fixture f(8, StallPolicy::block);
  f.pages.hold_from(PageNumber(1ull << 39));
  Writer writer(f.ring, f.pages.first_page(), Sequence(1));
  ASSERT_EQ(publish_pages(f, writer, 20), 20);
  Word lease{0};
  Reader reader(f.ring, lease);
  EXPECT_FALSE(reader.go_to(PageNumber(1), 0));
  EXPECT_EQ(lease.load(), 0u);
  EXPECT_TRUE(reader.go_to(PageNumber(20), 0));
  EXPECT_FALSE(reader.available().empty());
}

}  // namespace
}  // namespace millrace::ring
