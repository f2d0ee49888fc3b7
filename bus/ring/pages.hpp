// The core's side of one ring: grants pages ahead of the publisher, and recycles the oldest that nobody needs.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "bus/ring/ring.hpp"

namespace millrace::ring {

// What happens to a topic's publishers when the disk does not keep up. See bus/README.md.
enum class StallPolicy { block, refuse, live_only };

class Pages {
 public:
  // `ring`: as created, no page granted. `grant_ahead`: pages kept granted beyond the publisher's.
  // One thread calls everything but hold_from(), which the recorder calls from its own.
  Pages(Ring ring, std::uint32_t grant_ahead, StallPolicy policy);

  // The words, one a reader, that name leased pages. The caller changes the set only between calls of do_work().
  void set_leases(std::vector<const Word*> leases) { leases_ = std::move(leases); }

  // Pages granted from now on belong to this publisher. The first call starts granting. The one before must be dead and
  // its pages closed.
  void assign(PublisherId publisher, Epoch epoch);
  // Ends a dead publisher's pages at what it committed, and takes back those it had not begun. The next one begins in
  // first_page().
  void close();
  // The page in which a publisher that is assigned now begins.
  [[nodiscard]] PageNumber first_page() const { return tail_; }

  // Grants and recycles. Returns how many pages it granted.
  std::uint64_t do_work();

  // Pages from `page` on are not yet synced: they are recycled only under `live_only`, and last. Any thread.
  void hold_from(PageNumber page) { held_from_.store(page.value(), std::memory_order_release); }

  // Grows with whatever the publisher commits, recorded or not.
  [[nodiscard]] std::uint64_t committed() const;
  // The publisher waits for a page that cannot be granted.
  [[nodiscard]] bool starved() const { return granted_ == tail_ && assigned_; }
  [[nodiscard]] std::uint64_t recycled_unsynced() const { return recycled_unsynced_; }
  [[nodiscard]] const Ring& ring() const { return ring_; }
  // As the core's own threads read it: by its words as they are kept here, not by those that publishers can write to.
  [[nodiscard]] const Ring& trusted_ring() const { return own_; }

 private:
  struct Pinned {
    PageNumber page;
    std::uint32_t slot;
  };

  void follow_tail();
  [[nodiscard]] bool leased(PageNumber page) const;
  [[nodiscard]] std::optional<std::uint32_t> take_slot();
  [[nodiscard]] std::optional<std::uint32_t> withdraw_oldest(PageNumber below);
  void identify(PageNumber page, std::uint32_t slot);
  void end(PageNumber page);
  void enter(PageNumber page, PageWord word);
  [[nodiscard]] std::optional<std::uint32_t> slot_of(PageNumber page) const;

  // What this writes into the ring it writes here, too, and goes by that.
  std::vector<Word> directory_;
  Word granted_word_{0};
  std::vector<PageCoreLine> core_lines_;
  Ring ring_;
  Ring own_;
  std::uint32_t grant_ahead_;
  StallPolicy policy_;
  bool assigned_ = false;
  PublisherId publisher_;
  Epoch epoch_;
  PageNumber oldest_{1};   // oldest page in the directory
  PageNumber tail_{1};     // the publisher's page: the first one not finished
  PageNumber granted_{0};  // highest page granted
  std::atomic<std::uint64_t> held_from_{1};
  std::vector<const Word*> leases_;
  std::deque<std::uint32_t> free_;
  std::vector<Pinned> pinned_;  // withdrawn, but leased by somebody
  std::uint64_t recycled_unsynced_ = 0;
};

}  // namespace millrace::ring
