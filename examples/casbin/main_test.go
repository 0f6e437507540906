package main

func Example() {
	main()
	// Output:
	// alice published "Snow" at /plone/news
	// alice at /plone/shop: unauthorized
	// bob at /plone/news: unauthorized
	// mallory at /plone/news: no_such_user
	// bob published "Snow" at /plone/news
}
